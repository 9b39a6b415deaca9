"""OmniAudio (section 5.1): 2 s of one of four ear pairs, with the flow of the panorama.

    python tools/dataset_converters/omniaudio.py dataset_public data/omniaudio --size 64 256

A pipeline is put together in each config from the parts named here. This project's choices, since
the paper leaves them open: 4 frames a second, 64 x 256 pixels, T_max of 10 s, starts shifted by up
to 0.5 s, left and right mirrored half of the time. The rate of the recordings, 48 kHz, is that of
the released segments (96,000 samples; the paper says 96 kHz).
"""
clip = dict(type='multissl_mm.LoadClip', seconds=2., max_shift=0.5)
other_slice = dict(type='multissl_mm.LoadOtherSlice', max_seconds=10.)  # of task C
flow = dict(type='multissl_mm.LoadPanorama', keys=('flow', ))
foreground = dict(type='multissl_mm.LoadPanorama', keys=('foreground', ))
mirror = dict(type='multissl_mm.MirrorScene', prob=0.5)
rotation = dict(type='multissl_mm.DrawRotation', bins=8)  # of task A

pipelines = dict(
    a=[clip, flow, mirror, rotation,
       dict(type='multissl_mm.PackSound', keys=('clip', 'flow', 'rotation'))],
    b=[clip, flow, mirror, dict(type='multissl_mm.PackSound', keys=('clip', 'flow', 'scene'))],
    b_mask=[clip, foreground, mirror,
            dict(type='multissl_mm.PackSound', keys=('clip', 'foreground', 'scene'))],
    c=[clip, other_slice, mirror,
       dict(type='multissl_mm.PackSound', keys=('clip', 'other', 'gap'))],
    b_a=[clip, flow, mirror, rotation,
         dict(type='multissl_mm.PackSound', keys=('clip', 'flow', 'rotation', 'scene'))],
    all=[clip, other_slice, flow, mirror, rotation,
         dict(type='multissl_mm.PackSound',
              keys=('clip', 'other', 'gap', 'flow', 'rotation', 'scene'))],
    clip=[clip, mirror, dict(type='multissl_mm.PackSound', keys=('clip', ))],  # of distillation
    labelled=[clip, dict(type='multissl_mm.LoadPanorama', keys=('labels', )), mirror,
              dict(type='multissl_mm.LabelsToTargets'),
              dict(type='multissl_mm.PackSound', keys=('clip', 'classes'))])

data_preprocessor = dict(type='multissl_mm.SoundPreprocessor', n_fft=512, win_length=400,
                         hop_length=160,  # 257 x 601 for 2 s
                         non_blocking=True)
train_dataloader = dict(
    batch_size=48,  # per GPU
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    # Groups of 8 segments of a scene: what task B tells apart.
    sampler=dict(type='multissl_mm.SceneGroupSampler', group_size=8),
    dataset=dict(
        type='multissl_mm.KeyedDataset',
        dataset=dict(type='multissl_mm.OmniAudioDataset', data_root='data/omniaudio/',
                     split='train', pipeline=pipelines['all'])))
