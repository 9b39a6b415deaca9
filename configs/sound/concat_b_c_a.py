"""Concatenation B+C+A (section 4.1, Tables 2b, 3): nothing to train.

    python tools/model_converters/concat_backbones.py configs/sound/concat_b_c_a.py \
        concat.pth B.pth C.pth A.pth

The paper reports SP 30.14 mIoU, VR 28.09, S3R error 0.2101.
"""
_base_ = ['_base_/binaural_a_b_c.py', '../_base_/runtime.py']

model = dict(backbone=dict(type='multissl_mm.ConcatBackbone', encoders=[_base_.backbone] * 3))
