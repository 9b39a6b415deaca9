"""Multi-task B+C (section 4.2, Table 3): OmniAudio, 50 epochs.

    tools/dist_train.sh configs/sound/mtl_b_c.py 4

The paper reports SP 27.28 mIoU, VR 28.94, S3R error 0.2411. Equal weights are this project's
choice: the paper gives none.
"""
_base_ = ['_base_/omniaudio.py', '_base_/binaural_a_b_c.py', '_base_/adam_50e.py',
          '../_base_/runtime.py']

model = dict(type='multissl_mm.MultiTask', backbone=_base_.backbone, tasks=[_base_.b, _base_.c])
