"""Incremental learning in another order, B -> A -> C, demo size.

    python tools/train.py configs/sound/demo/il_b_a_c.py
"""
_base_ = 'il_b_c_a.py'

model = dict(tasks=[_base_.b, _base_.a, _base_.c])
