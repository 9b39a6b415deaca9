"""Contrastive distillation of B+C+A (section 4.4, Table 2b): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/contrastive-dist_b_c_a.py 4 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=C.pth \
        model.experts.2.backbone.init_cfg.checkpoint=A.pth

The paper reports SP 27.39 mIoU, VR 27.95, S3R error 0.2145.
"""
_base_ = 'euclidean-dist_b_c_a.py'

model = dict(loss='contrastive', temperature=0.2)
