"""Contrastive distillation of M and D (section 4.4): as the Euclidean one, by InfoNCE.

    tools/dist_train.sh configs/contrastive-dist_mocov2_densecl.py 8 --cfg-options \
        model.experts.0.backbone.init_cfg.checkpoint=MOCOV2.pth \
        model.experts.1.backbone.init_cfg.checkpoint=DENSECL.pth

The positive is the expert's latent of the same view, negatives are those of the rest of the batch,
of all GPUs. The paper reports this for sound only; the temperature is this project's choice.
"""
_base_ = 'euclidean-dist_mocov2_densecl.py'

model = dict(loss='contrastive', temperature=0.2)
