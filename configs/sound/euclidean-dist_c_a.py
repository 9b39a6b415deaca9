"""Euclidean distillation of A+C (section 4.4, Table 2b): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/euclidean-dist_c_a.py 4 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=C.pth \
        model.experts.1.backbone.init_cfg.checkpoint=A.pth

Not in the paper.
"""
_base_ = '_base_/euclidean.py'

model = dict(experts=[_base_.experts.c, _base_.experts.a])
