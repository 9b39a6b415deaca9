"""Incremental learning M -> D (section 4.3): ResNet-50, ImageNet-1k, 200 epochs a task (Table 4).

    tools/dist_train.sh configs/il_mocov2_densecl.py 8

The paper reports VOC07 86.38, COCO box AP 41.82, mask AP 37.21, its best. Stage 1 learns MoCo v2;
its responses are then stored; stage 2 learns DenseCL and keeps them. To start at stage 2 from a
MoCo v2 checkpoint, see il_mocov2_densecl_from_stage1.py.

This project's choices, since the paper leaves them open: the distillation loss (KL of similarities
to the queue, weight 1, temperature 0.2), and 20 replicas: responses to one fixed set of views per
image would take the augmentation from stage 2, so 20 sets are stored (1 KB a view, 26 GB in all,
recorded in the time of about 7 epochs) and shown in turn. ``source='teacher'`` needs no disk, shows
new views every epoch, and costs a third more time per step.
"""
_base_ = ['_base_/imagenet_two_views.py', '_base_/resnet50_m_d.py', '_base_/sgd_200e.py',
          '_base_/runtime.py']

epochs = [200, 200]  # of the stages
model = dict(
    type='multissl_mm.IncrementalLearning',
    backbone=_base_.backbone,
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl],  # in the order of the stages
    responses=dict(source='stored', replicas=20, dtype='float16'),
    distill_weights=1.)

train_cfg = dict(max_epochs=sum(epochs))
param_scheduler = [
    dict(type='CosineRestartLR', periods=epochs, restart_weights=[1] * len(epochs), eta_min=0.,
         by_epoch=True)
]
default_hooks = dict(stage=dict(type='multissl_mm.ILStageHook', epochs=epochs))
find_unused_parameters = True  # stage 1 does not use stage 2's layers
