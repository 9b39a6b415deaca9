"""Incremental learning B -> C, demo size.

    python tools/train.py configs/sound/demo/il_b_c.py
"""
_base_ = '_base_/il.py'

model = dict(tasks=[_base_.b, _base_.c])  # in the order of the stages
