"""One task after the other: 16 epochs for the first, 12 for the next."""
_base_ = ['adam_16e.py', '../../../demo/_base_/runtime.py']

train_cfg = dict(_delete_=True, type='multissl_mm.StagedTrainLoop', stages=[16, 12])
default_hooks = dict(
    stage=dict(type='multissl_mm.ILStageHook'), checkpoint=dict(interval=2))  # at every stage's end
