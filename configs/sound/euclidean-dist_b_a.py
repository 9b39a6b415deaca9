"""Euclidean distillation of A+B (section 4.4, Table 2b): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/euclidean-dist_b_a.py 4 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=A.pth

Not in the paper.
"""
_base_ = 'euclidean-dist_b_c.py'

model = dict(
    experts=[
        dict(name='b',
             backbone=dict(_base_.backbone, init_cfg=dict(_base_.weights, checkpoint='b.pth'))),
        dict(name='a',
             backbone=dict(_base_.backbone, init_cfg=dict(_base_.weights, checkpoint='a.pth'))),
    ])
