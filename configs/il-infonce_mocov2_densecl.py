"""Incremental M -> D where M keeps its own loss, with its stored responses as the positives.

    tools/dist_train.sh configs/il-infonce_mocov2_densecl.py 8

The closer reading of "their stored output responses as groundtruth" (section 4.3): InfoNCE towards
the old response, over the queue as it was. It pulls about five times as hard as the KL divergence
of il_mocov2_densecl.py; on simulated streets it is no better (docs/results/pictures.md, one seed).
``--cfg-options model.distill.type=multissl_mm.ResponseDistillation model.distill.view=other`` makes
the old response to the key view the positive of the query.
"""
_base_ = 'il_mocov2_densecl.py'

model = dict(tasks=[
    dict(_base_.mocov2, head=dict(_base_.mocov2.head, distill='info_nce')), _base_.densecl])
