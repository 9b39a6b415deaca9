"""COCO detection and instance segmentation: Mask R-CNN, ResNet-50-FPN, 12 epochs (section 5.2).

    tools/dist_train.sh configs/benchmarks/coco/mask-rcnn_r50_fpn_ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT

CHECKPOINT is that of a pretraining run, or a backbone exported from it. 8 GPUs with 2 images each
take 12 to 15 hours (V100; an estimate). On fewer GPUs add --auto-scale-lr. AP on val2017 that the
paper reports (Table 4), with ImageNet-1k pretraining of 200 epochs a task:

                        box     mask
    MoCo v2            38.99   35.64
    DenseCL            40.26   36.22
    multi-task M+D     41.01   36.41
    incremental M->D   41.82   37.21

The paper says no more than Mask R-CNN with FPN; schedule, scales and batch norm here are those of
MoCo and DenseCL: all layers are trained, with synchronised batch norm everywhere.
"""
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=dict(
            _delete_=True, type='Pretrained', checkpoint='backbone.pth', prefix='backbone.')),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg)))

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomChoiceResize', keep_ratio=True,
         scales=[(1333, s) for s in (640, 672, 704, 736, 768, 800)]),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
