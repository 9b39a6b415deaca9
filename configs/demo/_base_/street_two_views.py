"""The simulator's street scenes in ImageNet's layout, two views of 64 px per picture.

MoCo v2's but for the blur: its widths are meant for 224 px, where 2 px are not the half of a wheel.
"""
_base_ = '../../_base_/imagenet_two_views.py'

view = [dict(_base_.view_pipeline[0], scale=64), *_base_.view_pipeline[1:3],
        _base_.view_pipeline[4]]  # not 3, the blur
pipeline = [dict(_base_.train_pipeline[0], cache_mb=512),
            dict(_base_.train_pipeline[1], transforms=[view]),
            _base_.train_pipeline[2]]
train_dataloader = dict(
    batch_size=64, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(dataset=dict(
        _delete_=True, type='mmpretrain.CustomDataset', data_root='data/demo/imagenet',
        data_prefix='train', with_label=False, pipeline=pipeline)))
