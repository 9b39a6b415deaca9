"""Supervised: the classes of vehicles that are heard, demo size.

    python tools/train.py configs/sound/demo/supervised.py

Same sounds, encoder, optimizer and number of epochs as the pretext tasks. Labels are the
simulator's; the paper's supervised encoder is one of AudioSet, see ../supervised.py.
"""
_base_ = ['_base_/street_sound.py', '_base_/small_a_b_c.py', '_base_/adam_24e.py',
          '../../demo/_base_/runtime.py']

model = dict(
    type='multissl_mm.MultiTask', backbone=_base_.backbone, channels_last=True,
    tasks=[dict(name='classes', type='multissl_mm.SoundTaggingTask', in_channels=_base_.width)])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.labelled)))
