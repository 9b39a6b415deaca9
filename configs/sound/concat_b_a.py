"""Concatenation A+B (section 4.1, Table 3): nothing to train.

    python tools/model_converters/concat_backbones.py configs/sound/concat_b_a.py \
        concat.pth B.pth A.pth

The paper reports SP 29.55 mIoU, VR 24.47, S3R error 0.2165.
"""
_base_ = ['_base_/binaural_a_b_c.py', '../_base_/runtime.py']

model = dict(backbone=dict(type='multissl_mm.ConcatBackbone', encoders=[_base_.backbone] * 2))
