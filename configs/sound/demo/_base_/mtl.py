"""Any of the tasks at once on the simulator's scenes."""
_base_ = ['street_sound.py', 'small_a_b_c.py', 'adam_16e.py', '../../../demo/_base_/runtime.py']

model = dict(type='multissl_mm.MultiTask', backbone=_base_.backbone, channels_last=True)
