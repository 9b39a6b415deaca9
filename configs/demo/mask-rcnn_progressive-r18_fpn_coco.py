"""Mask R-CNN on the demo's progressive columns: about 2 minutes.

    python tools/train.py configs/demo/mask-rcnn_progressive-r18_fpn_coco.py \
        --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
"""
_base_ = 'mask-rcnn_r18_fpn_coco.py'

column = dict(type='mmdet.ResNet', depth=18, stem_channels=16, base_channels=16,
              norm_cfg=_base_.norm_cfg, norm_eval=False)
model = dict(backbone=dict(
    _delete_=True, type='multissl_mm.ProgressiveColumns', columns=[column] * 2,
    init_cfg=dict(type='Pretrained', checkpoint='progressive.pth', prefix='backbone.')))
custom_imports = dict(imports=['multissl_mm'])
find_unused_parameters = True  # column 1 is frozen
