"""Incremental learning in another order, C -> B -> A, demo size.

    python tools/train.py configs/sound/demo/il_c_b_a.py
"""
_base_ = 'il_b_c_a.py'

model = dict(tasks=[_base_.c, _base_.b, _base_.a])
