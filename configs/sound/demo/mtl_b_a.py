"""Multi-task A+B, demo size.

    python tools/train.py configs/sound/demo/mtl_b_a.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b, _base_.a])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_a)))
