"""One task after the other, 13 epochs each."""
_base_ = ['sgd_13e.py', 'runtime.py']

train_cfg = dict(_delete_=True, type='multissl_mm.StagedTrainLoop', stages=[13, 13])
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook'))
