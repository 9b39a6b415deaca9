"""Euclidean distillation on the simulator's scenes."""
_base_ = ['street_sound.py', 'small_a_b_c.py', 'adam_16e.py', '../../../demo/_base_/runtime.py',
          '../../../_base_/algorithms/euclidean.py']

experts = {name: dict(name=name, backbone=dict(
    _base_.backbone, init_cfg=dict(_base_.weights, checkpoint=f'{name}.pth'))) for name in 'abc'}
model = dict(
    backbone=_base_.backbone, channels_last=True, view_names=['clip'], input_shape=(2, 64, 64),
    responses=dict(replicas=8))
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.clip)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
