"""Supervised by AudioSet: YAMNet for each ear, at the demo's 16 kHz.

    tools/evidence/fetch.sh yamnet
    python tools/model_converters/yamnet.py data/evidence/yamnet data/evidence/yamnet.pth
    python tools/reproduce.py table2a --rows audioset

Spectrograms are those that it was trained on, of windows of 25 ms every 10 ms. Eight times as many
parameters as the demo's encoder (3.2 M): it is slow.
"""
_base_ = 'supervised.py'

data_preprocessor = dict(n_fft=512, win_length=400, hop_length=160, bands=None, floor=1e-10)
model = dict(
    backbone=dict(_delete_=True, type='multissl_mm.BinauralEncoder',
                  ear=dict(type='multissl_mm.YAMNet')),
    tasks=[dict(name='classes', type='multissl_mm.SoundTaggingTask', in_channels=2 * 1024)])
