"""Multi-task M+D with learned uncertainty weights (Kendall et al. 2018); not in the paper.

    tools/dist_train.sh configs/mtl-uncertainty_mocov2_densecl.py 8
"""
_base_ = 'mtl_mocov2_densecl.py'

model = dict(weighting='uncertainty')
# Weight decay would pull the weights towards 1.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'log_vars': dict(decay_mult=0.)}))
