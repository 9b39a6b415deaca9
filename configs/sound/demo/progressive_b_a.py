"""Progressive columns B -> A (section 4.4, Table 2b), demo size.

    python tools/train.py configs/sound/demo/progressive_b_a.py
"""
_base_ = '_base_/progressive.py'

model = dict(tasks=[_base_.b, _base_.a])  # in the order of the stages
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_a)))
