"""ImageNet-1k, two MoCo v2 views per image, finished in batches on the model's device.

The workers decode, crop and draw every random number; colour jitter, gray, blur, flip and
normalisation follow on the GPU. A view is a function of (seed, replica, image), and not of what
else is in its batch; epoch e shows replica e, or e modulo their number where responses are stored.
A data set that fits into memory is decoded once with ``OpenPicture.cache_mb``.
imagenet_worker_views.py is MMPretrain's own pipeline, of the same distribution.
"""
_base_ = 'imagenet_worker_views.py'

train_pipeline = [
    dict(type='multissl_mm.OpenPicture'),
    dict(type='multissl_mm.CropViews', num_views=2, transforms=[_base_.view_pipeline]),
    dict(type='multissl_mm.PackViews'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
