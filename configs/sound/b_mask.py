"""Foreground alignment (B) alone, with masked foreground (section 3.1): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/b_mask.py 4

The paper has its results in a supplement that is not at hand.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b_mask])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_mask)))
