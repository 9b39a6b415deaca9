"""Mask R-CNN on real products of Fashion-MNIST, ten classes, as the demo's on streets.

    python tools/train.py configs/demo/mask-rcnn_r18_fpn_products.py \
        --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT

How the pictures come about: _base_/products_two_views.py.
"""
_base_ = 'mask-rcnn_r18_fpn_coco.py'

classes = ('t-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag',
           'ankle_boot')
model = dict(roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)))
data = dict(data_root='data/products/coco/', metainfo=dict(classes=classes))
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/products/coco/annotations/instances_val2017.json')
test_evaluator = val_evaluator
