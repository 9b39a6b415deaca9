"""Supervised, as in the paper (Table 2a): YAMNet, which others trained on AudioSet, for each ear.

    tools/evidence/fetch.sh yamnet
    python tools/model_converters/yamnet.py data/evidence/yamnet data/evidence/yamnet.pth
    python tools/reproduce.py table2a --rows audioset --full

Spectrograms are those that it was trained on, of windows of 25 ms every 10 ms. Trained by this
config (tools/train.py) it starts from nothing, on the classes of OmniAudio's labels.
"""
_base_ = 'supervised.py'

window = 1200
data_preprocessor = dict(n_fft=1536, win_length=window, hop_length=480, floor=1e-10)
model = dict(
    backbone=dict(ear=dict(_delete_=True, type='multissl_mm.YAMNet', sample_rate=48000,
                           win_length=window)),
    tasks=[dict(name='classes', type='multissl_mm.SoundTaggingTask', in_channels=2 * 1024)])
