"""DenseCL (D) alone: ResNet-50, ImageNet-1k, 200 epochs (Table 4).

    tools/dist_train.sh configs/densecl.py 8

The paper reports VOC07 83.11, COCO box AP 40.26, mask AP 36.22.
"""
_base_ = ['_base_/imagenet_two_views.py', '_base_/resnet50_m_d.py', '_base_/sgd_200e.py',
          '_base_/runtime.py']

model = dict(
    type='multissl_mm.MultiTask',
    backbone=_base_.backbone,
    momentum=_base_.momentum,
    tasks=[_base_.densecl])
