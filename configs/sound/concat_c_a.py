"""Concatenation A+C (section 4.1, Table 3): nothing to train.

    python tools/model_converters/concat_backbones.py configs/sound/concat_c_a.py \
        concat.pth C.pth A.pth

The paper reports SP 23.57 mIoU, VR 19.03, S3R error 0.2347.
"""
_base_ = ['_base_/binaural_a_b_c.py', '../_base_/runtime.py']

model = dict(backbone=dict(type='multissl_mm.ConcatBackbone', encoders=[_base_.backbone] * 2))
