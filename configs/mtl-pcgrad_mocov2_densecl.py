"""Multi-task M+D with gradient surgery, PCGrad (Yu et al. 2020); not in the paper.

    tools/dist_train.sh configs/mtl-pcgrad_mocov2_densecl.py 8

Takes one more backward pass of the backbone than mtl_mocov2_densecl.py.
"""
_base_ = 'mtl_mocov2_densecl.py'

model = dict(weighting='pcgrad')
