"""SGD, 6 epochs a task."""
_base_ = '../../_base_/sgd_200e.py'

optim_wrapper = dict(optimizer=dict(lr=0.06))
train_cfg = dict(max_epochs=6)
