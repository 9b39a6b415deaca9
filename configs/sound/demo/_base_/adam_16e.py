"""AdamW, 16 epochs of 24 steps a task."""
_base_ = '../../_base_/adam_50e.py'

optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=5e-2))
train_cfg = dict(max_epochs=16)
