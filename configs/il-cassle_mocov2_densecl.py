"""Incremental M -> D with CaSSLe (Fini et al. 2022) instead of plain old responses.

    tools/dist_train.sh configs/il-cassle_mocov2_densecl.py 8

As its authors published it for MoCo v2+: a predictor goes from the new projections of both views to
the old ones, under symmetric InfoNCE at temperature 0.2 and weight 1; not in Multi-SSL's paper. On
simulated streets level with il_mocov2_densecl.py in five seeds (docs/results/pictures.md).
Projections of both views have 2 x 512 dimensions: 20 replicas take 52 GB (``source='teacher'``
takes none).
"""
_base_ = 'il_mocov2_densecl.py'

model = dict(
    distill=dict(type='multissl_mm.CaSSLe', feat_dim=512, hid_channels=2048, temperature=0.2))
