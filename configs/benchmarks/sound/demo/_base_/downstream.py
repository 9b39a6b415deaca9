"""The simulator's scenes and the demo's encoder."""
_base_ = ['../../_base_/downstream.py']

pretrained = dict(config='configs/sound/demo/il_b_c_a.py',
                  checkpoint='work_dirs/demo_sound/il_b_c_a/final.pth')
data_preprocessor = dict(n_fft=1024, win_length=1024, hop_length=640, bands=128)
data = dict(data_root='data/demo/omniaudio_32x128/',
            splits=dict(train=(1, 120), val=(121, 144), test=(121, 144)))
train_dataloader = dict(batch_size=50, num_workers=1, pin_memory=False,
                        dataset=dict(dataset=data))
val_dataloader = dict(batch_size=50, num_workers=1, dataset=dict(dataset=data))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=5e-2))
train_cfg = dict(max_epochs=10)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10, max_keep_ckpts=1))
env_cfg = dict(cudnn_benchmark=False)
