"""M, then M and the dense part of D (not in the paper), demo size: 5 minutes on two CPU cores.

    python tools/train.py configs/demo/rehearsal_mocov2_densecl.py

As ../rehearsal_mocov2_densecl.py, with 12 epochs a stage.
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/stages_12e.py',
          '../_base_/algorithms/rehearsal.py']

model = dict(
    backbone=_base_.backbone,
    channels_last=True,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, dict(_base_.densecl, loss_lambda=1.)])
