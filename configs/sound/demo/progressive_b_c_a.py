"""Progressive columns B -> C -> A (section 4.4, Table 2b), demo size.

    python tools/train.py configs/sound/demo/progressive_b_c_a.py
"""
_base_ = 'progressive_b_c.py'

epochs = [24, 18, 18]  # of the stages
model = dict(
    backbone=dict(columns=[_base_.backbone] * 3), tasks=[_base_.b, _base_.c, _base_.a])

train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='multissl_mm.WarmRestartLR', periods=epochs, by_epoch=True,
         convert_to_iter_based=True)
]
default_hooks = dict(stage=dict(epochs=epochs))
