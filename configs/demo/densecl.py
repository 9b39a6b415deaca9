"""DenseCL (D) alone, demo size: about 2 minutes on two CPU cores.

    python tools/train.py configs/demo/densecl.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.densecl])
