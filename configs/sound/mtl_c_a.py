"""Multi-task A+C (section 4.2, Table 3): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/mtl_c_a.py 4

The paper reports SP 24.73 mIoU, VR 20.22, S3R error 0.2308. Equal weights are this project's
choice: the paper gives none.
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.c, _base_.a])
