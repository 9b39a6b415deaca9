"""Concatenation B+C (section 4.1, Tables 2b, 3), demo size: nothing to train.

    python tools/model_converters/concat_backbones.py configs/sound/demo/concat_b_c.py \
        concat.pth B.pth C.pth
"""
_base_ = ['_base_/small_a_b_c.py', '../../demo/_base_/runtime.py']

model = dict(backbone=dict(type='multissl_mm.ConcatBackbone', encoders=[_base_.backbone] * 2))
