"""MoCo v2 (M) alone, demo size: about 2 minutes on two CPU cores.

    python tools/train.py configs/demo/mocov2.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.mocov2])
