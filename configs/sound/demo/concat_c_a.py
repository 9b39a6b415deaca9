"""Concatenation A+C (section 4.1, Table 3), demo size: nothing to train.

    python tools/model_converters/concat_backbones.py configs/sound/demo/concat_c_a.py \
        concat.pth C.pth A.pth
"""
_base_ = ['_base_/small_a_b_c.py', '../../demo/_base_/runtime.py']

model = dict(backbone=dict(type='multissl_mm.ConcatBackbone', encoders=[_base_.backbone] * 2))
