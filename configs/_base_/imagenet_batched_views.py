"""The same views as of imagenet_two_views.py, finished in batches on the model's device.

The workers decode, crop and draw; colour jitter, gray, blur, flip and normalisation follow on the
GPU. The same key gives the same crop and parameters. A data set that fits into memory is decoded
once only with ``OpenPicture.cache_mb``.
"""
_base_ = 'imagenet_two_views.py'

train_pipeline = [
    dict(type='multissl_mm.OpenPicture'),
    dict(type='multissl_mm.CropViews', num_views=2, transforms=[_base_.view_pipeline]),
    dict(type='multissl_mm.PackViews'),
]
train_dataloader = dict(pin_memory=True, dataset=dict(dataset=dict(pipeline=train_pipeline)))
data_preprocessor = dict(type='multissl_mm.ViewPreprocessor')
