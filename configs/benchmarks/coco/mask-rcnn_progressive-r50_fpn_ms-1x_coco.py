"""COCO with two progressive columns of ResNet-50 (section 4.4): column 2 and its laterals train.

    tools/dist_train.sh configs/benchmarks/coco/mask-rcnn_progressive-r50_fpn_ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT

CHECKPOINT is the last one of configs/progressive_mocov2_densecl.py. The paper has no COCO numbers
for this.
"""
_base_ = 'mask-rcnn_r50_fpn_ms-1x_coco.py'

column = dict(type='mmdet.ResNet', depth=50, norm_cfg=_base_.norm_cfg, norm_eval=False)
model = dict(backbone=dict(
    _delete_=True, type='multissl_mm.ProgressiveColumns', columns=[column] * 2,
    init_cfg=dict(type='Pretrained', checkpoint='progressive.pth', prefix='backbone.')))
custom_imports = dict(imports=['multissl_mm'])
find_unused_parameters = True  # column 1 is frozen
