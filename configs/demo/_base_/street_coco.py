"""The simulator's street scenes in COCO's layout, for Mask R-CNN."""
_base_ = '../../benchmarks/coco/mask-rcnn_r50_fpn_ms-1x_coco.py'

classes = ('bus', 'car', 'tram', 'motorcycle', 'truck')
size = dict(type='Resize', scale=(160, 160), keep_ratio=True)
train_pipeline = [
    *_base_.train_pipeline[:2], size, dict(type='RandomFlip', prob=0.5), dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'), size, dict(type='LoadAnnotations', with_bbox=True,
                                               with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                                          'scale_factor'))
]
data = dict(data_root='data/demo/coco/', metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=8, num_workers=1,
    dataset=dict(**data, ann_file='annotations/instances_train2017.json', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8, num_workers=1,
    dataset=dict(**data, ann_file='annotations/instances_val2017.json', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/demo/coco/annotations/instances_val2017.json')
test_evaluator = val_evaluator
