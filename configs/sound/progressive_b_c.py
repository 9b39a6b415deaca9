"""Progressive columns B -> C (section 4.4, Table 2b): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/progressive_b_c.py 4

The paper reports SP 30.38 mIoU, VR 29.06, S3R error 0.2397.
"""
_base_ = ['_base_/omniaudio.py', '_base_/binaural_a_b_c.py', '_base_/adam_50e.py',
          '../_base_/runtime.py']

epochs = [50, 50]  # of the stages
model = dict(
    type='multissl_mm.ProgressiveNet',
    backbone=dict(
        type='multissl_mm.ProgressiveColumns', columns=[_base_.backbone] * 2,
        stages=[f'ear.{i}' for i in range(5)], input_shape=(2, 64, 64)),
    tasks=[_base_.b, _base_.c])  # in the order of the stages

train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='multissl_mm.WarmRestartLR', periods=epochs, by_epoch=True,
         convert_to_iter_based=True)
]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook', epochs=epochs))
find_unused_parameters = True  # one column at a time
