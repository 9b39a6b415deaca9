"""The simulator's street scenes in ImageNet's layout, two MoCo v2 views of 64 px per picture."""
_base_ = '../../_base_/imagenet_two_views.py'

view = [dict(_base_.view_pipeline[0], scale=64), *_base_.view_pipeline[1:]]
pipeline = [dict(_base_.train_pipeline[0], cache_mb=512),
            dict(_base_.train_pipeline[1], transforms=[view]),
            _base_.train_pipeline[2]]
train_dataloader = dict(
    batch_size=64, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(dataset=dict(
        _delete_=True, type='mmpretrain.CustomDataset', data_root='data/demo/imagenet',
        data_prefix='train', with_label=False, pipeline=pipeline)))
