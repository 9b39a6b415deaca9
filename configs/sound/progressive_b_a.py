"""Progressive columns B -> A (section 4.4, Table 2b): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/progressive_b_a.py 4

Not in the paper.
"""
_base_ = '_base_/progressive.py'

model = dict(tasks=[_base_.b, _base_.a])  # in the order of the stages
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_a)))
