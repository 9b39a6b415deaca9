"""Incremental M -> D that keeps the backbone's features instead of the old task's responses.

    tools/dist_train.sh configs/il-feature_mocov2_densecl.py 8

Plain feature distillation, for comparison with il_mocov2_densecl.py; not in the paper: the squared
distance of pooled, L2-normalised features. ``model.distill.distance=mean_squared`` is the mean over
dimensions of the squared distance as it is, which hardly pulls at all. On simulated streets level
with il_mocov2_densecl.py, in one seed (docs/results/pictures.md).
Features have 2048 dimensions: 20 replicas take 105 GB (``source='teacher'`` takes none).
"""
_base_ = 'il_mocov2_densecl.py'

model = dict(distill=dict(type='multissl_mm.FeatureDistillation', distance='unit'))
