"""Incremental M -> D (section 4.3), demo size: about 5 minutes on two CPU cores.

    python tools/train.py configs/demo/il_mocov2_densecl.py

`make demo` runs it and its evaluations. As ../il_mocov2_densecl.py, with 12 epochs a task.
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/stages_12e.py',
          '../_base_/algorithms/il.py']

model = dict(
    backbone=_base_.backbone,
    channels_last=True,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl],
    responses=dict(replicas=2, shard_size=1024))
