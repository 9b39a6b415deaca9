"""Incremental learning B -> C -> A (section 4.3, Table 3): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/il_b_c_a.py 4

The paper reports SP 34.05 mIoU, VR 30.32, S3R error 0.1988. On simulated sound old responses keep
what B has learned; as many steps of B alone, or of all three at once, are worth more in semantic
prediction (docs/results/sound.md).
"""
_base_ = '_base_/il.py'

model = dict(tasks=[_base_.b, _base_.c, _base_.a])  # in the order of the stages
train_cfg = dict(stages=[50, 50, 50])
