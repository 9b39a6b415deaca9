"""The main job in small, for two CPU cores: incremental M -> D on the simulator's street scenes.

    make demo

runs it and its evaluations; alone it is

    python tools/train.py configs/demo/il_mocov2_densecl.py

A narrow ResNet-18 on pictures of 96 px, everything else as in the full-size config that it is based
on. Takes about 5 minutes.
"""
_base_ = '../il_mocov2_densecl.py'

width, dim = 256, 128  # of the backbone's last stage, and of the projections
backbone = dict(
    type='mmpretrain.ResNet', depth=18, stem_channels=32, base_channels=32,
    norm_cfg=dict(type='BN'))
mocov2 = dict(
    _base_.mocov2, feat_dim=dim, queue_len=2048,
    neck=dict(_base_.mocov2.neck, in_channels=width, hid_channels=width, out_channels=dim))
densecl = dict(
    _base_.densecl, feat_dim=dim, queue_len=2048,
    neck=dict(_base_.densecl.neck, in_channels=width, hid_channels=width, out_channels=dim))
epochs = [6, 6]
# A momentum of 0.999 would need 1,000 steps to forget the start.
model = dict(backbone=dict(_delete_=True, **backbone), momentum=0.99, tasks=[mocov2, densecl],
             responses=dict(replicas=2, shard_size=1024))

view = [dict(_base_.view_pipeline[0], scale=96), *_base_.view_pipeline[1:]]
pipeline = [_base_.train_pipeline[0],
            dict(type='MultiView', num_views=2, transforms=[view]),
            _base_.train_pipeline[2]]
train_dataloader = dict(
    batch_size=32, num_workers=1, pin_memory=False,
    dataset=dict(dataset=dict(
        _delete_=True, type='mmpretrain.CustomDataset', data_root='data/demo/imagenet',
        data_prefix='train', with_label=False, pipeline=pipeline)))

optim_wrapper = dict(optimizer=dict(lr=0.06))
train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='CosineRestartLR', periods=epochs, restart_weights=[1] * len(epochs), eta_min=0.,
         by_epoch=True)
]
default_hooks = dict(
    stage=dict(epochs=epochs), logger=dict(interval=10),
    checkpoint=dict(interval=2, max_keep_ckpts=2))
env_cfg = dict(cudnn_benchmark=False)
