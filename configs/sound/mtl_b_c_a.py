"""Multi-task B+C+A (section 4.2, Table 3): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/mtl_b_c_a.py 4

The paper reports SP 31.21 mIoU, VR 29.52, S3R error 0.2066. Equal weights are this project's
choice: the paper gives none.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b, _base_.c, _base_.a])
