"""Progressive columns on the simulator's scenes."""
_base_ = ['street_sound.py', 'small_a_b_c.py', 'stages_16e.py',
          '../../../_base_/algorithms/progressive.py']

model = dict(
    channels_last=True,
    backbone=dict(columns=[_base_.backbone] * 2, stages=[f'ear.{i}' for i in range(5)],
                  input_shape=(2, 64, 64)))
