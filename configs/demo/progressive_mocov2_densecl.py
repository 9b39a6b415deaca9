"""Progressive columns M -> D (section 4.4), demo size: about 5 minutes on two CPU cores.

    python tools/train.py configs/demo/progressive_mocov2_densecl.py
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/sgd_6e.py',
          '_base_/runtime.py']

epochs = [6, 6]  # of the stages
model = dict(
    type='multissl_mm.ProgressiveNet',
    backbone=dict(type='multissl_mm.ProgressiveColumns', columns=[_base_.backbone] * 2),
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl])

train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='CosineRestartLR', periods=epochs, restart_weights=[1] * len(epochs), eta_min=0.,
         by_epoch=True)
]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook', epochs=epochs))
find_unused_parameters = True  # one column at a time
