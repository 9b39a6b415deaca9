"""Euclidean distillation (section 4.4): a new backbone learns the latents of several experts.

This project's choice: a linear projector per expert. Latents of 20 sets of views are stored before
the first epoch.
"""
model = dict(
    type='multissl_mm.ExpertDistillation',
    loss='euclidean',
    projector='linear',
    responses=dict(source='stored', replicas=20, dtype='float16'))
weights = dict(type='Pretrained', prefix='backbone.')  # of an expert; its config adds a checkpoint
