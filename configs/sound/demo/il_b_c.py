"""Incremental learning B -> C, demo size.

    python tools/train.py configs/sound/demo/il_b_c.py
"""
_base_ = ['_base_/street_sound.py', '_base_/small_a_b_c.py', '_base_/adam_24e.py',
          '../../demo/_base_/runtime.py']

epochs = [24, 18]  # of the stages
model = dict(
    type='multissl_mm.IncrementalLearning',
    backbone=_base_.backbone, channels_last=True,
    tasks=[_base_.b, _base_.c],  # in the order of the stages
    responses=dict(source='stored', replicas=8, dtype='float16'),
    distill_weights=1.)

train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='multissl_mm.WarmRestartLR', periods=epochs, by_epoch=True,
         convert_to_iter_based=True)
]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook', epochs=epochs))
find_unused_parameters = True  # stage 1 does not use the other stages' layers
