"""Incremental learning B -> C (section 4.3, Table 3): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/il_b_c.py 4

The paper reports SP 32.76 mIoU, VR 29.72, S3R error 0.2378.
What was measured of ways to keep old tasks is B -> C -> A (docs/results/sound.md).
"""
_base_ = '_base_/il.py'

model = dict(tasks=[_base_.b, _base_.c])  # in the order of the stages
