"""Hooks that watch a run; together they cost less than 1 % of the time of an ImageNet run.

Add '_base_/watch.py' to the ``_base_`` of a config. Values go to all backends of ``visualizer``;
for TensorBoard or Weights & Biases (``pip install wandb``) put this into the config:

    visualizer = dict(vis_backends=[
        dict(type='LocalVisBackend'),  # vis_data/scalars.json, what tools/analysis_tools/ read
        dict(type='TensorboardVisBackend'),
        dict(type='WandbVisBackend', init_kwargs=dict(project='multissl_mm'),
             define_metric_cfg=[dict(name='*', step_metric='iter')])])

The tasks' losses need no hook: the logger writes them as ``<task>.<loss>``.
"""
probe_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs')
]
probe = dict(type='mmpretrain.ImageNet', data_root='data/imagenet/', pipeline=probe_pipeline)
custom_hooks = [
    dict(type='multissl_mm.GradientHook', interval=200),  # steps; from here on epochs
    # With the pipeline of the training data, without labels.
    dict(type='multissl_mm.ForgettingHook', interval=10, max_samples=4096,
         dataset=dict(type='multissl_mm.PictureFolder', data_root='data/imagenet/', split='val')),
    dict(type='multissl_mm.KNNHook', interval=10, max_bank=50000, max_queries=10000,
         bank=dict(probe, split='train'), queries=dict(probe, split='val')),
]
