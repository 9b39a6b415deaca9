"""Incremental learning in another order, A -> C -> B, demo size.

    python tools/train.py configs/sound/demo/il_a_c_b.py
"""
_base_ = 'il_b_c_a.py'

model = dict(tasks=[_base_.a, _base_.c, _base_.b])
