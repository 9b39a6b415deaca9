"""Euclidean distillation of M and D (section 4.4), demo size: about 2 minutes on two CPU cores.

    python tools/train.py configs/demo/euclidean-dist_mocov2_densecl.py --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=MOCOV2.pth \
        model.experts.1.backbone.init_cfg.checkpoint=DENSECL.pth
"""
_base_ = ['_base_/street_two_views.py', '_base_/resnet18_m_d.py', '_base_/sgd_6e.py',
          '_base_/runtime.py']

weights = dict(type='Pretrained', prefix='backbone.')
model = dict(
    type='multissl_mm.ExpertDistillation',
    backbone=_base_.backbone,
    experts=[
        dict(name='mocov2',
             backbone=dict(_base_.backbone, init_cfg=dict(weights, checkpoint='mocov2.pth'))),
        dict(name='densecl',
             backbone=dict(_base_.backbone, init_cfg=dict(weights, checkpoint='densecl.pth'))),
    ],
    loss='euclidean',
    projector='linear',
    view_names=['query'],
    responses=dict(source='stored', replicas=2, dtype='float16', shard_size=1024))

one_view = [_base_.pipeline[0], dict(_base_.pipeline[1], num_views=1), _base_.pipeline[2]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=one_view)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
