"""Incremental learning (section 4.3): old tasks are kept by their stored responses.

This project's choices, since the paper leaves them open: the distillation loss (see the tasks), its
weight of 1, and 20 replicas: responses to one fixed set of views per sample would take the
augmentation from later stages, so 20 sets are stored and shown in turn. ``source='teacher'`` needs
no disk, shows new views every epoch, and costs a third more time per step.
"""
model = dict(
    type='multissl_mm.IncrementalLearning',
    responses=dict(source='stored', replicas=20, dtype='float16'),
    distill_weights=1.)
find_unused_parameters = True  # a stage does not use the layers of later ones
