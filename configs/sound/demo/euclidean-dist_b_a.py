"""Euclidean distillation of A+B (section 4.4, Table 2b), demo size.

    python tools/train.py configs/sound/demo/euclidean-dist_b_a.py --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=A.pth
"""
_base_ = '_base_/euclidean.py'

model = dict(experts=[_base_.experts.b, _base_.experts.a])
