"""The simulator's scenes: 16 kHz, panoramas of 32 x 128, spectrograms of 128 x 51.

A long window and bands of 62.5 Hz let all of the sound count at a hop that keeps steps short.
"""
_base_ = '../../_base_/omniaudio.py'

data_preprocessor = dict(n_fft=1024, win_length=1024, hop_length=640, bands=128)
train_dataloader = dict(
    batch_size=50, num_workers=1, pin_memory=False,
    sampler=dict(group_size=10),  # all segments of a scene
    dataset=dict(dataset=dict(
        data_root='data/demo/omniaudio_32x128/',
        splits=dict(train=(1, 120), val=(121, 144), test=(121, 144)))))
