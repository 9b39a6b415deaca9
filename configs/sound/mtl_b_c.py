"""Multi-task B+C (section 4.2, Table 3): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/mtl_b_c.py 4

The paper reports SP 27.28 mIoU, VR 28.94, S3R error 0.2411. Equal weights are this project's
choice: the paper gives none.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b, _base_.c])
