"""Euclidean distillation (section 4.4) on OmniAudio.

This project's choice: pooled features of both ears as latents.
"""
_base_ = ['omniaudio.py', 'binaural_a_b_c.py', 'adam_50e.py', '../../_base_/runtime.py',
          '../../_base_/algorithms/euclidean.py']

experts = {name: dict(name=name, backbone=dict(
    _base_.backbone, init_cfg=dict(_base_.weights, checkpoint=f'{name}.pth'))) for name in 'abc'}
model = dict(backbone=_base_.backbone, view_names=['clip'], input_shape=(2, 64, 64))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.clip)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
