"""Multi-task M+D (section 4.2), demo size: about 3 minutes on two CPU cores.

    python tools/train.py configs/demo/mtl_mocov2_densecl.py
"""
_base_ = '_base_/mtl.py'

model = dict(
    tasks=[_base_.mocov2, _base_.densecl], loss_weights=dict(mocov2=1., densecl=1.))
