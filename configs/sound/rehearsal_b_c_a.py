"""Rehearsal B, B + C, B + C + A (not in the paper): OmniAudio, 50 epochs a stage.

    tools/dist_train.sh configs/sound/rehearsal_b_c_a.py 4

On simulated sound no way of going from task to task has a better mean in semantic prediction, and
it is the better the earlier the tasks come (docs/results/sound.md): with ``--cfg-options
train_cfg.stages=[24,24,102] param_scheduler.0.periods=[150]`` all three are there early, and the
rate does not start anew.
"""
_base_ = ['_base_/omniaudio.py', '_base_/binaural_a_b_c.py', '_base_/stages_50e.py',
          '../_base_/algorithms/rehearsal.py']

model = dict(
    backbone=_base_.backbone, tasks=[_base_.b, _base_.c, _base_.a])  # in the order of the stages
train_cfg = dict(stages=[50, 50, 50])
