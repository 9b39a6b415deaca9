"""Any of the tasks at once (section 4.2) on OmniAudio, 50 epochs."""
_base_ = ['omniaudio.py', 'binaural_a_b_c.py', 'adam_50e.py', '../../_base_/runtime.py']

model = dict(type='multissl_mm.MultiTask', backbone=_base_.backbone)
