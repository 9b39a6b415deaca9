"""S3R, spatial sound super resolution, demo size.

    python tools/train.py configs/benchmarks/sound/demo/s3r.py --cfg-options \
        pretrained.config=configs/sound/demo/b.py pretrained.checkpoint=CHECKPOINT
"""
_base_ = ['_base_/downstream.py', '../_base_/s3r.py']

train_dataloader = dict(
    batch_size=25, dataset=dict(dataset=dict(pipeline=_base_.train_pipeline, whole_scenes=True)))
val_dataloader = dict(dataset=dict(dataset=dict(
    pipeline=_base_.test_pipeline, whole_scenes=True, every_pair=False)))
test_dataloader = val_dataloader
data_preprocessor = dict(spectra=('clip', 'turned'), spectra_n_fft=256, spectra_win_length=256,
                         spectra_hop=160)
# Two linear layers see all of the sound and learn sooner than up-convolutions
# (docs/results/sound.md). Every fourth frame says in the loss what all of them say.
model = dict(stride=4, decoder=dict(channels=(), lift='project', coarse=(32, 8)))
train_cfg = dict(max_epochs=4)
