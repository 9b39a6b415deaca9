"""What a demo run shows of itself: gradients of its tasks, and what is forgotten.

On street scenes that no pretraining sees; about 3 % of the time of a run. See ../../_base_/watch.py
and ``tools/analysis_tools/curves.py``.
"""
custom_hooks = [
    dict(type='multissl_mm.GradientHook', interval=31),
    dict(type='multissl_mm.ForgettingHook', interval=3, max_samples=256,
         dataset=dict(type='mmpretrain.CustomDataset', with_label=False, data_root='data/demo',
                      data_prefix='VOCdevkit/VOC2007/JPEGImages')),
]
