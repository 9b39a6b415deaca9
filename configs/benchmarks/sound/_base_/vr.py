"""Video retrieval: model, pipelines and metric."""
model = dict(
    type='multissl_mm.VideoRetrieval',
    backbone=None,  # see pretrained
    video=dict(type='multissl_mm.PanoramaEncoder', in_channels=2 * 8))  # flow of 8 frames, x and y
train_pipeline = [
    dict(type='multissl_mm.LoadClip', seconds=2., max_shift=0.5),
    dict(type='multissl_mm.LoadPanorama', keys=('flow', )),
    dict(type='multissl_mm.MirrorScene', prob=0.5),
    dict(type='multissl_mm.PackSound', keys=('clip', 'flow')),
]
test_pipeline = [
    dict(type='multissl_mm.LoadClip', seconds=2., pair=0),
    dict(type='multissl_mm.LoadPanorama', keys=('flow', )),
    dict(type='multissl_mm.PackSound', keys=('clip', 'flow')),
]
val_evaluator = dict(type='multissl_mm.RetrievalMetric')
test_evaluator = val_evaluator
