"""One task after the other, 6 epochs each."""
_base_ = ['sgd_6e.py', 'runtime.py']

train_cfg = dict(_delete_=True, type='multissl_mm.StagedTrainLoop', stages=[6, 6])
param_scheduler = [dict(type='multissl_mm.WarmRestartLR', warmup=0., by_epoch=True)]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook'))
