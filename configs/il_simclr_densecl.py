"""Incremental learning SimCLR -> DenseCL: any of MMPretrain's algorithms as a stage.

    tools/dist_train.sh configs/il_simclr_densecl.py 8

_base_/mmpretrain_tasks.py has the others; put any of them in ``tasks``, of this or of another
algorithm. Not in the paper; what was measured is M -> D (docs/results/pictures.md).
"""
_base_ = ['il_mocov2_densecl.py', '_base_/mmpretrain_tasks.py']

model = dict(tasks=[_base_.simclr, _base_.densecl], responses=dict(_delete_=True, source='teacher'))
