"""Adam, 50 epochs a task: this project's choice, the paper says nothing of it.

The learning rate warms up and decays once, or once in every stage of ``train_cfg``.
"""
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='multissl_mm.WarmRestartLR', by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50)
auto_scale_lr = dict(base_batch_size=192)
