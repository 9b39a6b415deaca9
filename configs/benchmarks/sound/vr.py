"""VR, video retrieval (section 5.1, Tables 2 and 3): OmniAudio, 30 epochs.

    tools/dist_train.sh configs/benchmarks/sound/vr.py 4 --cfg-options \
        pretrained.config=configs/sound/il_b_c_a.py pretrained.checkpoint=CHECKPOINT

The paper reports 30.32 % for IL B -> C -> A. The encoder is frozen.
"""
_base_ = ['_base_/downstream.py', '_base_/vr.py']

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline)))
val_dataloader = dict(dataset=dict(dataset=dict(
    pipeline=_base_.test_pipeline, every_pair=False, whole_scenes=True)))
test_dataloader = val_dataloader
