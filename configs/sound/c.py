"""Temporal gap prediction (C) alone (section 3.1, Table 2a): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/c.py 4

The paper reports SP 16.85 mIoU, S3R error 0.2931, VR 20.44.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.c])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.c)))
