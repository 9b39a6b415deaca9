"""AdamW, 24 epochs of 20 steps a task."""
_base_ = '../../_base_/adam_50e.py'

optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=5e-2))
param_scheduler = [
    dict(type='multissl_mm.WarmRestartLR', periods=[24], by_epoch=True,
         convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=24)
