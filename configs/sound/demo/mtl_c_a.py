"""Multi-task A+C, demo size.

    python tools/train.py configs/sound/demo/mtl_c_a.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.c, _base_.a])
