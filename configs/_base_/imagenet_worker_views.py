"""ImageNet-1k, two MoCo v2 views per image by MMPretrain's own pipeline, all of it in the workers.

Each view is a function of (seed, replica, image). The same distribution as of
imagenet_two_views.py, at three to five times the CPU time; for operations that
multissl_mm.CropViews does not know.
"""
_base_ = 'mmpretrain::_base_/datasets/imagenet_bs32_mocov2.py'

# As MMPretrain's, but the host never waits for the GPU, and between GPUs key views travel as uint8.
data_preprocessor = dict(type='multissl_mm.ViewPreprocessor')
train_pipeline = [
    dict(type='multissl_mm.LoadImage'),
    dict(type='MultiView', num_views=2, transforms=[_base_.view_pipeline]),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32,  # per GPU; the paper follows MoCo v2: 256 on 8 GPUs
    pin_memory=True,
    # MMEngine hands the `_scope_` of an inherited entry to the function itself, which fails.
    collate_fn=dict(_delete_=True, type='default_collate'),
    sampler=dict(_delete_=True, type='multissl_mm.KeyedSampler', shuffle=True),
    dataset=dict(
        _delete_=True,
        type='multissl_mm.KeyedDataset',
        # Any folder of pictures will do, see docs/usage.md.
        dataset=dict(type='multissl_mm.PictureFolder', data_root='data/imagenet/', split='train',
                     pipeline=train_pipeline)))
