"""Supervised: the classes of vehicles that are heard, demo size.

    python tools/train.py configs/sound/demo/supervised.py

Same sounds, encoder, optimizer and number of epochs as the pretext tasks. Labels are the
simulator's; the paper's supervised encoder is one of AudioSet, see ../supervised.py.
"""
_base_ = '_base_/mtl.py'

model = dict(
    tasks=[dict(name='classes', type='multissl_mm.SoundTaggingTask', in_channels=_base_.width)])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.labelled)))
