"""Incremental learning on the simulator's scenes."""
_base_ = ['street_sound.py', 'small_a_b_c.py', 'stages_16e.py',
          '../../../_base_/algorithms/il.py']

model = dict(backbone=_base_.backbone, channels_last=True, responses=dict(replicas=8))
