"""Incremental learning B -> A (section 4.3, Table 3): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/il_b_a.py 4

The paper reports SP 31.89 mIoU, VR 25.65, S3R error 0.2029.

The order is this project's choice: the paper does not say it.
What was measured of ways to keep old tasks is B -> C -> A (docs/results/sound.md).
"""
_base_ = '_base_/il.py'

model = dict(tasks=[_base_.b, _base_.a])  # in the order of the stages
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_a)))
