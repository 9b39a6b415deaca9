"""Contrastive distillation of M and D (section 4.4), demo size: about 2 minutes on two CPU cores.

    python tools/train.py configs/demo/contrastive-dist_mocov2_densecl.py --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=MOCOV2.pth \
        model.experts.1.backbone.init_cfg.checkpoint=DENSECL.pth
"""
_base_ = 'euclidean-dist_mocov2_densecl.py'

model = dict(loss='contrastive', temperature=0.2)
