"""AdamW, 24 epochs of 20 steps a task."""
_base_ = '../../_base_/adam_50e.py'

optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=1e-2))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=24, by_epoch=True)]
train_cfg = dict(max_epochs=24)
