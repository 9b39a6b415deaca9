"""Mask R-CNN on the simulator's COCO-format scenes, for two CPU cores: about 2 minutes.

    python tools/train.py configs/demo/mask-rcnn_r18_fpn_coco.py \
        --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
    python tools/test.py configs/demo/mask-rcnn_r18_fpn_coco.py work_dirs/.../epoch_3.pth

The architecture of ../benchmarks/coco/mask-rcnn_r50_fpn_ms-1x_coco.py, narrower: the backbone of
the demo's pretraining, 64 channels in the pyramid, fewer proposals, pictures of 160 px.
"""
_base_ = '_base_/street_coco.py'

norm_cfg = dict(type='BN')
width = 64
one_sample = dict(sampling_ratio=1)  # per cell; with as many as fit, RoIAlign is half of a step
model = dict(
    backbone=dict(depth=18, stem_channels=16, base_channels=16, norm_cfg=norm_cfg),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=width, norm_cfg=norm_cfg),
    rpn_head=dict(in_channels=width, feat_channels=width),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width, roi_layer=one_sample),
        bbox_head=dict(
            _delete_=True, type='Shared2FCBBoxHead', in_channels=width, fc_out_channels=256,
            roi_feat_size=7, num_classes=5,
            bbox_coder=_base_.model.roi_head.bbox_head.bbox_coder,
            loss_cls=_base_.model.roi_head.bbox_head.loss_cls,
            loss_bbox=_base_.model.roi_head.bbox_head.loss_bbox),
        mask_roi_extractor=dict(out_channels=width, roi_layer=one_sample),
        mask_head=dict(num_convs=2, in_channels=width, conv_out_channels=width, num_classes=5,
                       norm_cfg=norm_cfg)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=250, max_per_img=64),
                   rcnn=dict(sampler=dict(num=48))),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=20)))
model['backbone']['init_cfg'] = dict(checkpoint='work_dirs/demo/il_mocov2_densecl/final.pth')

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-2),
    clip_grad=dict(max_norm=10.))
train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=2))
env_cfg = dict(dist_cfg=dict(backend='gloo'))
