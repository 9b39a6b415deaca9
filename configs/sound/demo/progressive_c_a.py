"""Progressive columns C -> A (section 4.4, Table 2b), demo size.

    python tools/train.py configs/sound/demo/progressive_c_a.py
"""
_base_ = '_base_/progressive.py'

model = dict(tasks=[_base_.c, _base_.a])  # in the order of the stages
