"""DenseCL (D) alone: ResNet-50, ImageNet-1k, 200 epochs (Table 4).

    tools/dist_train.sh configs/densecl.py 8

The paper reports VOC07 83.11, COCO box AP 40.26, mask AP 36.22.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.densecl])
