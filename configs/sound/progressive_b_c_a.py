"""Progressive columns B -> C -> A (section 4.4, Table 2b): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/progressive_b_c_a.py 4

The paper reports SP 32.45 mIoU, VR 29.68, S3R error 0.2035.
"""
_base_ = '_base_/progressive.py'

model = dict(
    backbone=dict(columns=[_base_.backbone] * 3), tasks=[_base_.b, _base_.c, _base_.a])
train_cfg = dict(stages=[50, 50, 50])
