"""Incremental learning M -> D (section 4.3): ResNet-50, ImageNet-1k, 200 epochs a task (Table 4).

    tools/dist_train.sh configs/il_mocov2_densecl.py 8

The paper reports VOC07 86.38, COCO box AP 41.82, mask AP 37.21, its best. Stage 1 learns MoCo v2;
its responses are then stored; stage 2 learns DenseCL and keeps them. To start at stage 2 from a
MoCo v2 checkpoint, see il_mocov2_densecl_from_stage1.py. For stages of other lengths say
``--cfg-options train_cfg.stages=[100,200]``.

Responses are 1 KB a view, 26 GB in all, recorded in the time of about 7 epochs. The distillation
loss is this project's choice: KL of similarities to the queue, temperature 0.2. Measured beside
others, and beside each task alone for as long: docs/results/pictures.md.
"""
_base_ = ['_base_/imagenet_two_views.py', '_base_/resnet50_m_d.py', '_base_/stages_200e.py',
          '_base_/algorithms/il.py']

model = dict(
    backbone=_base_.backbone,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl])  # in the order of the stages
