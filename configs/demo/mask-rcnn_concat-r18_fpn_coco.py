"""Mask R-CNN on two concatenated, frozen backbones of the demo: about 2 minutes.

    python tools/train.py configs/demo/mask-rcnn_concat-r18_fpn_coco.py \
        --cfg-options model.backbone.init_cfg.checkpoint=concat.pth
"""
_base_ = 'mask-rcnn_r18_fpn_coco.py'

encoder = dict(type='mmdet.ResNet', depth=18, stem_channels=16, base_channels=16)
model = dict(
    backbone=dict(
        _delete_=True, type='multissl_mm.ConcatBackbone', encoders=[encoder] * 2,
        init_cfg=dict(type='Pretrained', checkpoint='concat.pth', prefix='backbone.')),
    neck=dict(in_channels=[32, 64, 128, 256]))
custom_imports = dict(imports=['multissl_mm'])
