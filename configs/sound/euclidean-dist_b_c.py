"""Euclidean distillation of B+C (section 4.4, Table 2b): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/euclidean-dist_b_c.py 4 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=C.pth

The paper reports SP 25.38 mIoU, VR 27.64, S3R error 0.2607.
This project's choices: a linear projector per expert, pooled
features of both ears as latents.
"""
_base_ = '_base_/euclidean.py'

model = dict(experts=[_base_.experts.b, _base_.experts.c])
