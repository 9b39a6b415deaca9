"""Incremental learning (section 4.3) on OmniAudio."""
_base_ = ['omniaudio.py', 'binaural_a_b_c.py', 'stages_50e.py',
          '../../_base_/algorithms/il.py']

model = dict(backbone=_base_.backbone)
