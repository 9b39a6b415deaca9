"""One task after the other (section 4.3): 200 epochs each, in which the learning rate starts anew.

``train_cfg.stages`` is all that says how long stages are; what else depends on it follows. On small
networks M -> D with a first stage of a quarter of the epochs had more SVM mAP than with halves on
the scenes that it was chosen on; on others that is not decided. A lower rate with a long warm-up
and no restart at all made no difference that stands out of the noise (docs/results/pictures.md).
"""
_base_ = ['sgd_200e.py', 'runtime.py']

train_cfg = dict(_delete_=True, type='multissl_mm.StagedTrainLoop', stages=[200, 200])
param_scheduler = [dict(type='multissl_mm.WarmRestartLR', warmup=0., by_epoch=True)]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook'))
