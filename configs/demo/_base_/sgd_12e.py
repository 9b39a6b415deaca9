"""SGD, 12 epochs (744 steps) a task: after a warm-up of 37 steps a cosine, anew in every stage."""
_base_ = '../../_base_/sgd_200e.py'

optim_wrapper = dict(optimizer=dict(lr=0.12))
param_scheduler = [dict(
    type='multissl_mm.WarmRestartLR', warmup=.05, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=12)
