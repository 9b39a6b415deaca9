"""Supervised: an encoder that others trained on AudioSet (Table 2a), a ResNet-18 for each ear.

    python tools/reproduce.py table2a --rows supervised --checkpoint AUDIOSET.pth --full --gpus 4

Its keys are ``backbone.ear.*``, of a ResNet-18 for spectrograms of one channel; those of others
are renamed by tools/model_converters/export_backbone.py --add ear. Without such a file the encoder
is trained here, on the classes of OmniAudio's labels (label_omniaudio.py of the converters):

    tools/dist_train.sh configs/sound/supervised.py 4

The paper reports SP 26.82 mIoU, S3R error 0.2085.
"""
_base_ = ['_base_/omniaudio.py', '_base_/adam_50e.py', '../_base_/runtime.py']

model = dict(
    type='multissl_mm.MultiTask',
    backbone=dict(type='multissl_mm.BinauralEncoder',
                  ear=dict(type='mmpretrain.ResNet', depth=18, in_channels=1)),
    tasks=[dict(name='classes', type='multissl_mm.SoundTaggingTask', in_channels=2 * 512)])
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.pipelines.labelled, needs=('labels', ))))
