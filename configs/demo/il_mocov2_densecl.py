"""Incremental M -> D (section 4.3), demo size: about 5 minutes on two CPU cores.

    python tools/train.py configs/demo/il_mocov2_densecl.py

`make demo` runs it and its evaluations. As ../il_mocov2_densecl.py, with 6 epochs a task.
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/sgd_6e.py',
          '_base_/runtime.py']

epochs = [6, 6]  # of the stages
model = dict(
    type='multissl_mm.IncrementalLearning',
    backbone=_base_.backbone,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl],
    responses=dict(source='stored', replicas=2, dtype='float16', shard_size=1024),
    distill_weights=1.)

train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='CosineRestartLR', periods=epochs, restart_weights=[1] * len(epochs), eta_min=0.,
         by_epoch=True)
]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook', epochs=epochs))
find_unused_parameters = True  # stage 1 does not use stage 2's layers
