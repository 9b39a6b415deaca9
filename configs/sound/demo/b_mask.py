"""Foreground alignment (B) alone, with masked foreground, demo size.

    python tools/train.py configs/sound/demo/b_mask.py
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b_mask])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_mask)))
