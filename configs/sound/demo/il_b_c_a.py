"""Incremental learning B -> C -> A, demo size.

    python tools/train.py configs/sound/demo/il_b_c_a.py
"""
_base_ = '_base_/il.py'

model = dict(tasks=[_base_.b, _base_.c, _base_.a])  # in the order of the stages
train_cfg = dict(stages=[16, 10, 12])
