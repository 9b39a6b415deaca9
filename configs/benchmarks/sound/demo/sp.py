"""SP, semantic prediction, demo size: 24 of the 120 scenes have labels.

Labels are what is scarce. The simulator has them for every frame, so that clips may be shifted.

    python tools/train.py configs/benchmarks/sound/demo/sp.py --cfg-options \
        pretrained.config=configs/sound/demo/b.py pretrained.checkpoint=CHECKPOINT
"""
_base_ = ['_base_/downstream.py', '../_base_/sp.py']

shifted = [dict(_base_.train_pipeline[0], max_shift=0.5), *_base_.train_pipeline[1:]]
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=shifted, splits=dict(train=(1, 24)))))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.test_pipeline)))
test_dataloader = val_dataloader
model = dict(decoder=dict(size=(8, 32), channels=64, rates=(2, 4, 8), lift='project'))
train_cfg = dict(max_epochs=30)
