"""Multi-task B+C+A (section 4.2, Table 3): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/mtl_b_c_a.py 4

The paper reports SP 31.21 mIoU, VR 29.52, S3R error 0.2066. Equal weights are this project's
choice: the paper gives none. On simulated sound, for as many epochs as il_b_c_a.py as a whole, it
is better than that in semantic prediction and S3R (docs/results/sound.md).
"""
_base_ = '_base_/mtl.py'

model = dict(tasks=[_base_.b, _base_.c, _base_.a])
