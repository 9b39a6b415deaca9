"""Incremental learning in another order, A -> B -> C, demo size.

    python tools/train.py configs/sound/demo/il_a_b_c.py
"""
_base_ = 'il_b_c_a.py'

model = dict(tasks=[_base_.a, _base_.b, _base_.c])
