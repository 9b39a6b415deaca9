"""Spatial alignment (A) alone (section 3.1, Table 2a): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/a.py 4

The paper reports SP 15.32 mIoU, S3R error 0.2105, VR 9.13.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.a])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.a)))
