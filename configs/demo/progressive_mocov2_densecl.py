"""Progressive columns M -> D (section 4.4), demo size: about 5 minutes on two CPU cores.

    python tools/train.py configs/demo/progressive_mocov2_densecl.py
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/stages_12e.py',
          '../_base_/algorithms/progressive.py']

model = dict(
    backbone=dict(columns=[_base_.backbone] * 2),
    channels_last=True,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl])
