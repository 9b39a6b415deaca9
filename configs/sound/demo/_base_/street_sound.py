"""The simulator's scenes: 16 kHz, panoramas of 32 x 128, spectrograms of 129 x 51."""
_base_ = '../../_base_/omniaudio.py'

data_preprocessor = dict(n_fft=256, win_length=256, hop_length=640)
train_dataloader = dict(
    batch_size=50, num_workers=1, pin_memory=False,
    sampler=dict(group_size=10),  # all segments of a scene
    dataset=dict(dataset=dict(
        data_root='data/demo/omniaudio_32x128/',
        splits=dict(train=(1, 120), val=(121, 144), test=(121, 144)))))
