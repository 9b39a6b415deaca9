"""SP, semantic prediction (section 5.1, Tables 2 and 3): OmniAudio, 30 epochs.

    tools/dist_train.sh configs/benchmarks/sound/sp.py 4 --cfg-options \
        pretrained.config=configs/sound/il_b_c_a.py pretrained.checkpoint=CHECKPOINT

The paper reports 34.05 mIoU for IL B -> C -> A.
"""
_base_ = ['_base_/downstream.py', '_base_/sp.py']

labelled = ('labels', )
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.train_pipeline, needs=labelled)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.test_pipeline, needs=labelled)))
test_dataloader = val_dataloader
