"""Incremental learning in another order, C -> A -> B, demo size.

    python tools/train.py configs/sound/demo/il_c_a_b.py
"""
_base_ = 'il_b_c_a.py'

model = dict(tasks=[_base_.c, _base_.a, _base_.b])
