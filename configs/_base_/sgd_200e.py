"""Section 5.2: SGD, momentum 0.9, weight decay 1e-4, 200 epochs a task.

The paper gives no learning rate; 0.03 with cosine decay for a batch of 256 is MoCo v2's, whose
settings it says it follows. The decay ends where ``train_cfg`` does.
"""
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)
