"""Euclidean distillation of B+C+A (section 4.4, Table 2b): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/euclidean-dist_b_c_a.py 4 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=C.pth \
        model.experts.2.backbone.init_cfg.checkpoint=A.pth

The paper reports SP 25.82 mIoU, VR 27.45, S3R error 0.2188.
"""
_base_ = '_base_/euclidean.py'

model = dict(experts=[_base_.experts.b, _base_.experts.c, _base_.experts.a])
