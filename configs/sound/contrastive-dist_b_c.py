"""Contrastive distillation of B+C (section 4.4, Table 2b): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/contrastive-dist_b_c.py 4 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=B.pth \
        model.experts.1.backbone.init_cfg.checkpoint=C.pth

The paper reports SP 25.59 mIoU, VR 27.96, S3R error 0.2589.
"""
_base_ = 'euclidean-dist_b_c.py'

model = dict(loss='contrastive', temperature=0.2)
