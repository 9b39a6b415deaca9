"""Foreground alignment (B) alone, with motion flow, demo size.

    python tools/train.py configs/sound/demo/b.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b)))
