"""Concatenation M+D (section 4.1), demo size: two finished encoders, nothing to train.

    python tools/model_converters/concat_backbones.py configs/demo/concat_mocov2_densecl.py \
        concat.pth MOCOV2.pth DENSECL.pth
"""
_base_ = ['_base_/resnet18_m_d.py', '_base_/runtime.py']

model = dict(
    backbone=dict(type='multissl_mm.ConcatBackbone', encoders=[_base_.backbone] * 2))
