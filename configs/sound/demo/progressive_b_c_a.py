"""Progressive columns B -> C -> A (section 4.4, Table 2b), demo size.

    python tools/train.py configs/sound/demo/progressive_b_c_a.py
"""
_base_ = '_base_/progressive.py'

model = dict(
    backbone=dict(columns=[_base_.backbone] * 3), tasks=[_base_.b, _base_.c, _base_.a])
train_cfg = dict(stages=[16, 10, 12])
