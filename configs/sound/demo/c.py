"""Temporal gap prediction (C) alone, demo size.

    python tools/train.py configs/sound/demo/c.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.c])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.c)))
