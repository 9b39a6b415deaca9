"""Foreground alignment (B) alone, with masked foreground (section 3.1): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/b_mask.py 4

The paper has its results in a supplement that is not at hand.
"""
_base_ = ['_base_/omniaudio.py', '_base_/binaural_a_b_c.py', '_base_/adam_50e.py',
          '../_base_/runtime.py']

model = dict(type='multissl_mm.MultiTask', backbone=_base_.backbone, tasks=[_base_.b_mask])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_mask)))
