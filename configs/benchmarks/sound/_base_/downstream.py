"""What the downstream tasks of sound share: OmniAudio, Adam, the encoder of a pretraining config.

``pretrained`` says which encoder: the backbone of that config with the weights of that checkpoint,
random ones where it says ``random``. Any will do: also those of ``configs/sound/concat_b_c.py``, of
progressive columns, ... ``model.frozen=True`` trains the decoder alone.
"""
_base_ = ['../../../sound/_base_/omniaudio.py', '../../../_base_/runtime.py']

pretrained = dict(config='configs/sound/il_b_c_a.py', checkpoint='work_dirs/il_b_c_a/final.pth')

# This project's choice: the paper says nothing, its predecessor has Adam at 1e-5 and batches of 4.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.))
param_scheduler = [
    dict(type='multissl_mm.WarmRestartLR', by_epoch=True, convert_to_iter_based=True)
]
# Looked at once, as always after the last epoch; nothing is chosen by it.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(base_batch_size=192)
find_unused_parameters = True  # frozen encoders and earlier columns
custom_hooks = [dict(type='SyncBuffersHook')]  # one set of batch norm statistics for all ranks

train_dataloader = dict(
    sampler=dict(_delete_=True, type='multissl_mm.KeyedSampler', shuffle=True))
val_dataloader = dict(
    batch_size=48,
    num_workers=4,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='multissl_mm.KeyedSampler', shuffle=False),
    dataset=dict(
        type='multissl_mm.KeyedDataset',
        dataset=dict(type='multissl_mm.OmniAudioDataset', data_root='data/omniaudio/',
                     split='test', every_pair=True)))
test_dataloader = val_dataloader
