"""M, then M and the dense part of D (not in the paper): ResNet-50, ImageNet-1k, 200 epochs a stage.

    tools/dist_train.sh configs/rehearsal_mocov2_densecl.py 8

Stage 1 learns MoCo v2; stage 2 goes on with it and learns DenseCL's contrast of positions besides.
DenseCL's contrast of whole pictures is left out (``loss_lambda=1``): it is MoCo v2's. On simulated
streets no better than IL, in two seeds (docs/results/pictures.md).
"""
_base_ = ['_base_/imagenet_two_views.py', '_base_/resnet50_m_d.py', '_base_/stages_200e.py',
          '_base_/algorithms/rehearsal.py']

model = dict(
    backbone=_base_.backbone,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, dict(_base_.densecl, loss_lambda=1.)])  # in the order of the stages
