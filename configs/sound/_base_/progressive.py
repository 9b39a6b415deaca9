"""Progressive columns (section 4.4) on OmniAudio."""
_base_ = ['omniaudio.py', 'binaural_a_b_c.py', 'stages_50e.py',
          '../../_base_/algorithms/progressive.py']

model = dict(backbone=dict(
    columns=[_base_.backbone] * 2, stages=[f'ear.{i}' for i in range(5)],
    input_shape=(2, 64, 64)))
