"""Incremental learning in the other order, D -> M, demo size: about 5 minutes on two CPU cores.

    python tools/train.py configs/demo/il_densecl_mocov2.py
"""
_base_ = 'il_mocov2_densecl.py'

model = dict(tasks=[_base_.densecl, _base_.mocov2])
