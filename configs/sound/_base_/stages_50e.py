"""One task after the other (section 4.3), 50 epochs each."""
_base_ = ['adam_50e.py', '../../_base_/runtime.py']

train_cfg = dict(_delete_=True, type='multissl_mm.StagedTrainLoop', stages=[50, 50])
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook'))
