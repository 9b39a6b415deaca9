"""VR, video retrieval, demo size.

    python tools/train.py configs/benchmarks/sound/demo/vr.py --cfg-options \
        pretrained.config=configs/sound/demo/b.py pretrained.checkpoint=CHECKPOINT
"""
_base_ = ['_base_/downstream.py', '../_base_/vr.py']

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(
    pipeline=_base_.test_pipeline, every_pair=False, whole_scenes=True)))
test_dataloader = val_dataloader
