"""Multi-task A+C, demo size.

    python tools/train.py configs/sound/demo/mtl_c_a.py
"""
_base_ = ['_base_/street_sound.py', '_base_/small_a_b_c.py', '_base_/adam_24e.py',
          '../../demo/_base_/runtime.py']

model = dict(type='multissl_mm.MultiTask', backbone=_base_.backbone, channels_last=True,
             tasks=[_base_.c, _base_.a])
