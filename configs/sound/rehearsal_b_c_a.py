"""Rehearsal B, B + C, B + C + A (not in the paper): OmniAudio, 50 epochs a stage.

    tools/dist_train.sh configs/sound/rehearsal_b_c_a.py 4

On simulated sound it has the best means in semantic prediction of the ways that add task after
task, the better the earlier all are there (docs/results/sound.md). With ``--cfg-options
train_cfg.stages=[24,24,102] param_scheduler.0.periods=[150]`` they are there early, and the rate
does not start anew.
"""
_base_ = ['_base_/omniaudio.py', '_base_/binaural_a_b_c.py', '_base_/stages_50e.py',
          '../_base_/algorithms/rehearsal.py']

model = dict(
    backbone=_base_.backbone, tasks=[_base_.b, _base_.c, _base_.a])  # in the order of the stages
train_cfg = dict(stages=[50, 50, 50])
