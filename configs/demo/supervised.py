"""Supervised classification of the simulator's pictures, demo size: under a minute.

    python tools/train.py configs/demo/supervised.py

The label of a picture is the class of its largest vehicle. Same pictures, backbone, optimizer and
number of epochs as the pretext tasks.
"""
_base_ = ['_base_/resnet18_m_d.py', '_base_/sgd_12e.py', '_base_/runtime.py']

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=_base_.backbone,
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=_base_.width))
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, num_classes=5)

train_dataloader = dict(
    batch_size=64, num_workers=0, drop_last=True, persistent_workers=False,
    sampler=dict(type='multissl_mm.KeyedSampler', shuffle=True),
    dataset=dict(type='multissl_mm.KeyedDataset', dataset=dict(
        type='mmpretrain.CustomDataset', data_root='data/demo/imagenet',
        ann_file='meta/train.txt', data_prefix='train',
        metainfo=dict(classes=('bus', 'car', 'tram', 'motorcycle', 'truck')),
        pipeline=[
            dict(type='LoadImageFromFile', imdecode_backend='pillow'),
            dict(type='RandomResizedCrop', scale=64, crop_ratio_range=(.2, 1.), backend='pillow'),
            dict(type='RandomFlip', prob=.5),
            dict(type='PackInputs'),
        ])))
