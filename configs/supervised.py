"""Supervised ImageNet-1k classification: ResNet-50, 100 epochs (the first row of Table 4).

    tools/dist_train.sh configs/supervised.py 8

The paper reports VOC07 84.12, COCO box AP 38.92, mask AP 35.40 for an encoder trained with labels
and does not say how; this is MMPretrain's recipe (top-1 76.55 there). Its learning rate falls at
epochs 30, 60 and 90: for another train_cfg.max_epochs change param_scheduler.milestones, too.
"""
_base_ = ['mmpretrain::_base_/models/resnet50.py', 'mmpretrain::_base_/datasets/imagenet_bs32.py',
          'mmpretrain::_base_/schedules/imagenet_bs256.py', '_base_/runtime.py']

train_dataloader = dict(pin_memory=True)
val_dataloader = dict(pin_memory=True)
default_hooks = dict(checkpoint=dict(save_best='auto'))
