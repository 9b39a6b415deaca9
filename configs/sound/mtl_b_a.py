"""Multi-task A+B (section 4.2, Table 3): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/mtl_b_a.py 4

The paper reports SP 29.23 mIoU, VR 25.10, S3R error 0.2073. Equal weights are this project's
choice: the paper gives none.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b, _base_.a])
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.pipelines.b_a)))
