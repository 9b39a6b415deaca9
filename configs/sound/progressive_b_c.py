"""Progressive columns B -> C (section 4.4, Table 2b): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/progressive_b_c.py 4

The paper reports SP 30.38 mIoU, VR 29.06, S3R error 0.2397.
"""
_base_ = '_base_/progressive.py'

model = dict(tasks=[_base_.b, _base_.c])  # in the order of the stages
