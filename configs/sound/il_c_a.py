"""Incremental learning C -> A (section 4.3, Table 3): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/il_c_a.py 4

The paper reports SP 25.02 mIoU, VR 21.00, S3R error 0.2251.

The order is this project's choice: the paper does not say it.
What was measured of ways to keep old tasks is B -> C -> A (docs/results/sound.md).
"""
_base_ = '_base_/il.py'

model = dict(tasks=[_base_.c, _base_.a])  # in the order of the stages
