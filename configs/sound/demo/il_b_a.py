"""Incremental learning B -> A, demo size.

    python tools/train.py configs/sound/demo/il_b_a.py
"""
_base_ = '_base_/il.py'

model = dict(tasks=[_base_.b, _base_.a])  # in the order of the stages
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_a)))
