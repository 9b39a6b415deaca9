"""Euclidean distillation of M and D (section 4.4): a new ResNet-50 learns both experts' latents.

    tools/dist_train.sh configs/euclidean-dist_mocov2_densecl.py 8 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=MOCOV2.pth \
        model.experts.1.backbone.init_cfg.checkpoint=DENSECL.pth

The paper reports this for sound only. Latents of 20 sets of views are stored before the first epoch
(2048-d, half precision: 105 GB an expert; fewer ``replicas`` take less, ``source='teacher'`` none).
This project's choices: a linear projector per expert, pooled features of the last stage as latents.
"""
_base_ = ['_base_/imagenet_two_views.py', '_base_/resnet50_m_d.py', '_base_/sgd_200e.py',
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
    responses=dict(source='stored', replicas=20, dtype='float16'))

one_view = [_base_.train_pipeline[0], dict(_base_.train_pipeline[1], num_views=1),
            _base_.train_pipeline[2]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=one_view)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
