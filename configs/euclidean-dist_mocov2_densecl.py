"""Euclidean distillation of M and D (section 4.4): a new ResNet-50 learns both experts' latents.

    tools/dist_train.sh configs/euclidean-dist_mocov2_densecl.py 8 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=MOCOV2.pth \
        model.experts.1.backbone.init_cfg.checkpoint=DENSECL.pth

The paper reports this for sound only. Latents have 2048 dimensions, 105 GB an expert in half
precision; fewer ``model.responses.replicas`` take less, ``source='teacher'`` none. This project's
choice: pooled features of the last stage as latents.
"""
_base_ = ['_base_/imagenet_two_views.py', '_base_/resnet50_m_d.py', '_base_/sgd_200e.py',
          '_base_/runtime.py', '_base_/algorithms/euclidean.py']

model = dict(
    backbone=_base_.backbone,
    experts=[
        dict(name=name, backbone=dict(
            _base_.backbone, init_cfg=dict(_base_.weights, checkpoint=f'{name}.pth')))
        for name in ('mocov2', 'densecl')],
    view_names=['query'])

one_view = [_base_.train_pipeline[0], dict(_base_.train_pipeline[1], num_views=1),
            _base_.train_pipeline[2]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=one_view)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
