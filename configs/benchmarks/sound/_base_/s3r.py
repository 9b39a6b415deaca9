"""Spatial sound super resolution: model, pipelines and metric."""
model = dict(
    type='multissl_mm.SpatialSuperResolution',
    backbone=None,  # see pretrained
    decoder=dict(type='multissl_mm.SpectrogramDecoder', channels=(512, 256, 128, 64)),
    predicts='mask')
train_pipeline = [
    dict(type='multissl_mm.LoadClip', seconds=2., max_shift=0.5),
    dict(type='multissl_mm.LoadTurnedPairs'),
    dict(type='multissl_mm.MirrorScene', prob=0.5),
    dict(type='multissl_mm.PackSound', keys=('clip', 'turned')),
]
test_pipeline = [
    dict(type='multissl_mm.LoadClip', seconds=2.),
    dict(type='multissl_mm.LoadTurnedPairs'),
    dict(type='multissl_mm.PackSound', keys=('clip', 'turned')),
]
val_evaluator = dict(type='multissl_mm.SuperResolutionMetric')
test_evaluator = val_evaluator
