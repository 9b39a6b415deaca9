"""Euclidean distillation of B+C (section 4.4, Table 2b): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/euclidean-dist_b_c.py 4 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=C.pth

The paper reports SP 25.38 mIoU, VR 27.64, S3R error 0.2607.
This project's choices: a linear projector per expert, pooled
features of both ears as latents.
"""
_base_ = ['_base_/omniaudio.py', '_base_/binaural_a_b_c.py', '_base_/adam_50e.py',
          '../_base_/runtime.py']

weights = dict(type='Pretrained', prefix='backbone.')
model = dict(
    type='multissl_mm.ExpertDistillation',
    backbone=_base_.backbone,
    experts=[
        dict(name='b', backbone=dict(_base_.backbone, init_cfg=dict(weights, checkpoint='b.pth'))),
        dict(name='c', backbone=dict(_base_.backbone, init_cfg=dict(weights, checkpoint='c.pth'))),
    ],
    loss='euclidean',
    projector='linear',
    view_names=['clip'],
    input_shape=(2, 64, 64),
    responses=dict(source='stored', replicas=20, dtype='float16'))

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.clip)))
default_hooks = dict(latents=dict(type='multissl_mm.ExpertLatentsHook'))
