"""Spatial alignment (A) alone, demo size.

    python tools/train.py configs/sound/demo/a.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.a])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.a)))
