"""Progressive columns C -> A (section 4.4, Table 2b): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/progressive_c_a.py 4

Not in the paper.
"""
_base_ = '_base_/progressive.py'

model = dict(tasks=[_base_.c, _base_.a])  # in the order of the stages
