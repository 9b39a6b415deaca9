"""MoCo v2 (M) alone: ResNet-50, ImageNet-1k, 200 epochs (Table 4).

    tools/dist_train.sh configs/mocov2.py 8

The paper reports VOC07 84.32, COCO box AP 38.99, mask AP 35.64.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.mocov2])
