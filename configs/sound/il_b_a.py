"""Incremental learning B -> A (section 4.3, Table 3): OmniAudio, 50 epochs a task.

    tools/dist_train.sh configs/sound/il_b_a.py 4

The paper reports SP 31.89 mIoU, VR 25.65, S3R error 0.2029.

The order is this project's choice: the paper does not say it.
"""
_base_ = ['_base_/omniaudio.py', '_base_/binaural_a_b_c.py', '_base_/adam_50e.py',
          '../_base_/runtime.py']

epochs = [50, 50]  # of the stages
model = dict(
    type='multissl_mm.IncrementalLearning',
    backbone=_base_.backbone,
    tasks=[_base_.b, _base_.a],  # in the order of the stages
    responses=dict(source='stored', replicas=20, dtype='float16'),
    distill_weights=1.)

train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='multissl_mm.WarmRestartLR', periods=epochs, by_epoch=True,
         convert_to_iter_based=True)
]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook', epochs=epochs))
find_unused_parameters = True  # stage 1 does not use the other stages' layers
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_a)))
