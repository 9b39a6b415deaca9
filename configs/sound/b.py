"""Foreground alignment (B) alone, with motion flow (section 3.1, Table 2a): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/b.py 4

The paper reports SP 24.33 mIoU, S3R error 0.2501, VR 27.35.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b)))
