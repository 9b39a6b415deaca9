"""One task after the other, 12 epochs each."""
_base_ = ['sgd_12e.py', 'runtime.py']

train_cfg = dict(_delete_=True, type='multissl_mm.StagedTrainLoop', stages=[12, 12])
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook'))
