"""Incremental M -> D with CaSSLe's predictor (Fini et al. 2022) instead of old responses.

    tools/dist_train.sh configs/il-cassle_mocov2_densecl.py 8

Old features must be predictable from the new ones; not in the paper. Features have 2048 dimensions:
20 replicas take 105 GB (``source='teacher'`` takes none).
"""
_base_ = 'il_mocov2_densecl.py'

model = dict(
    distill=dict(type='multissl_mm.PredictiveDistillation', in_channels=2048, hid_channels=2048))
