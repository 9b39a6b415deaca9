"""Incremental learning in the other order, D -> M: ResNet-50, ImageNet-1k, 200 epochs a task.

    tools/dist_train.sh configs/il_densecl_mocov2.py 8

As il_mocov2_densecl.py; the paper does not report this order. On simulated streets it is as good
in SVM mAP and has a point less of segmentation, not decided in five seeds
(docs/results/pictures.md). Stored responses of DenseCL are the global and 49 local projections of a
view, 51 KB each: 66 GB a replica, hence a teacher.
"""
_base_ = 'il_mocov2_densecl.py'

model = dict(
    tasks=[_base_.densecl, _base_.mocov2],
    responses=dict(_delete_=True, source='teacher'))
