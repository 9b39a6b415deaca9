"""S3R, spatial sound super resolution (section 5.1, Tables 2 and 3): OmniAudio, 30 epochs.

    tools/dist_train.sh configs/benchmarks/sound/s3r.py 4 --cfg-options \
        pretrained.config=configs/sound/il_b_c_a.py pretrained.checkpoint=CHECKPOINT

The paper reports an error of 0.1988 for IL B -> C -> A; it says not of what.
"""
_base_ = ['_base_/downstream.py', '_base_/s3r.py']

train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=_base_.train_pipeline, whole_scenes=True)))
val_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.test_pipeline, whole_scenes=True)))
test_dataloader = val_dataloader
data_preprocessor = dict(spectra=('clip', 'turned'))
