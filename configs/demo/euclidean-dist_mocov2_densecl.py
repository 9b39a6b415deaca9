"""Euclidean distillation of M and D (section 4.4), demo size: about 2 minutes on two CPU cores.

    python tools/train.py configs/demo/euclidean-dist_mocov2_densecl.py --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=MOCOV2.pth \
        model.experts.1.backbone.init_cfg.checkpoint=DENSECL.pth
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/sgd_12e.py',
          '_base_/runtime.py', '../_base_/algorithms/euclidean.py']

model = dict(
    backbone=_base_.backbone,
    channels_last=True,
    experts=[
        dict(name=name, backbone=dict(
            _base_.backbone, init_cfg=dict(_base_.weights, checkpoint=f'{name}.pth')))
        for name in ('mocov2', 'densecl')],
    view_names=['query'],
    responses=dict(replicas=2, shard_size=1024))

one_view = [_base_.pipeline[0], dict(_base_.pipeline[1], num_views=1), _base_.pipeline[2]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=one_view)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
