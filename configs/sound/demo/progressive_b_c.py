"""Progressive columns B -> C (section 4.4, Table 2b), demo size.

    python tools/train.py configs/sound/demo/progressive_b_c.py
"""
_base_ = '_base_/progressive.py'

model = dict(tasks=[_base_.b, _base_.c])  # in the order of the stages
