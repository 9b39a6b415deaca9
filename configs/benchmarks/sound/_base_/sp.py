"""Semantic prediction: model, pipelines and metric."""
model = dict(
    type='multissl_mm.SemanticPrediction',
    backbone=None,  # see pretrained
    decoder=dict(type='multissl_mm.SemanticDecoder', size=(60, 120), channels=256,
                 rates=(12, 24, 36)),
    # 1 / log(1.02 + share of the pixels), nothing first: this project's choice, for the simulator's
    # streets. Rare classes differ little by it, so it will do for others.
    class_weights=[1.5, 32., 45., 28., 49., 36.])
train_pipeline = [
    # Real recordings have labels for the frame in the middle of each segment alone: no shifts.
    dict(type='multissl_mm.LoadClip', seconds=2.),
    dict(type='multissl_mm.LoadPanorama', keys=('labels', )),
    dict(type='multissl_mm.MirrorScene', prob=0.5),
    dict(type='multissl_mm.LabelsToTargets'),
    dict(type='multissl_mm.PackSound', keys=('clip', 'semantics')),
]
test_pipeline = [
    dict(type='multissl_mm.LoadClip', seconds=2.),
    dict(type='multissl_mm.LoadPanorama', keys=('labels', 'masks')),
    dict(type='multissl_mm.LabelsToTargets'),
    dict(type='multissl_mm.PackSound', keys=('clip', 'semantics', 'restricted')),
]
val_evaluator = dict(type='multissl_mm.SemanticMetric')
test_evaluator = val_evaluator
