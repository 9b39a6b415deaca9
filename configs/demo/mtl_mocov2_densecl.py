"""Multi-task M+D (section 4.2), demo size: about 3 minutes on two CPU cores.

    python tools/train.py configs/demo/mtl_mocov2_densecl.py
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/sgd_6e.py',
          '_base_/runtime.py']

model = dict(
    type='multissl_mm.MultiTask',
    backbone=_base_.backbone,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl],
    loss_weights=dict(mocov2=1., densecl=1.))
