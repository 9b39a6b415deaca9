"""Incremental learning M -> D from a finished MoCo v2: only stage 2, 200 epochs.

    python tools/model_converters/to_stage1.py configs/il_mocov2_densecl_from_stage1.py \
        MOCOV2.pth stage1.pth
    tools/dist_train.sh configs/il_mocov2_densecl_from_stage1.py 8 \
        --cfg-options load_from=stage1.pth

The projection is 128-d, as in all published MoCo v2 checkpoints; otherwise as il_mocov2_densecl.py.
"""
_base_ = 'il_mocov2_densecl.py'

mocov2 = dict(_base_.mocov2, feat_dim=128, neck=dict(_base_.mocov2.neck, out_channels=128))
model = dict(tasks=[mocov2, _base_.densecl])
train_cfg = dict(stages=[0, 200])
