"""Multi-task B+C+A, demo size.

    python tools/train.py configs/sound/demo/mtl_b_c_a.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b, _base_.c, _base_.a])
