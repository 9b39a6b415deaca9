"""Rehearsal B, B + C, B + C + A (not in the paper), demo size.

    python tools/train.py configs/sound/demo/rehearsal_b_c_a.py
"""
_base_ = ['_base_/street_sound.py', '_base_/small_a_b_c.py', '_base_/stages_16e.py',
          '../../_base_/algorithms/rehearsal.py']

model = dict(
    backbone=_base_.backbone, channels_last=True, tasks=[_base_.b, _base_.c, _base_.a])
train_cfg = dict(stages=[16, 10, 12])
