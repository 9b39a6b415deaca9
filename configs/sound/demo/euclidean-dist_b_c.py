"""Euclidean distillation of B+C (section 4.4, Table 2b), demo size.

    python tools/train.py configs/sound/demo/euclidean-dist_b_c.py --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=C.pth
"""
_base_ = ['_base_/street_sound.py', '_base_/small_a_b_c.py', '_base_/adam_24e.py',
          '../../demo/_base_/runtime.py']

weights = dict(type='Pretrained', prefix='backbone.')
model = dict(
    type='multissl_mm.ExpertDistillation',
    backbone=_base_.backbone, channels_last=True,
    experts=[
        dict(name='b', backbone=dict(_base_.backbone, init_cfg=dict(weights, checkpoint='b.pth'))),
        dict(name='c', backbone=dict(_base_.backbone, init_cfg=dict(weights, checkpoint='c.pth'))),
    ],
    loss='euclidean',
    projector='linear',
    view_names=['clip'],
    input_shape=(2, 64, 64),
    responses=dict(source='stored', replicas=8, dtype='float16'))

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.clip)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
