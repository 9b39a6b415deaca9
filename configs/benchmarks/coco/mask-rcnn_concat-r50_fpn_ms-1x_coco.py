"""COCO with two concatenated, frozen ResNet-50 (section 4.1): only the detector is trained.

    tools/dist_train.sh configs/benchmarks/coco/mask-rcnn_concat-r50_fpn_ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=concat.pth

concat.pth is written by tools/model_converters/concat_backbones.py. The paper reports box AP 40.67,
mask AP 36.61.
"""
_base_ = 'mask-rcnn_r50_fpn_ms-1x_coco.py'

encoder = dict(type='mmdet.ResNet', depth=50)
model = dict(
    backbone=dict(
        _delete_=True, type='multissl_mm.ConcatBackbone', encoders=[encoder] * 2,
        init_cfg=dict(type='Pretrained', checkpoint='concat.pth', prefix='backbone.')),
    neck=dict(in_channels=[512, 1024, 2048, 4096]))
custom_imports = dict(imports=['multissl_mm'])
