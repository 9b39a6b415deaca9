"""Multi-task BYOL + MoCo v2 on one backbone and one momentum backbone.

    tools/dist_train.sh configs/mtl_byol_mocov2.py 8

Any of MMPretrain's algorithms combines like this, see _base_/mmpretrain_tasks.py. Not in the paper.
"""
_base_ = ['mocov2.py', '_base_/mmpretrain_tasks.py']

model = dict(tasks=[_base_.byol, _base_.mocov2], momentum=(0.99, 1.), separate_views=True)
