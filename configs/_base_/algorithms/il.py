"""Incremental learning (section 4.3): old tasks are kept by their stored responses.

This project's choices, since the paper leaves them open: the distillation loss (see the tasks), its
weight of 1, and 20 replicas: responses to one fixed set of views per sample would take the
augmentation from later stages, so 20 sets are stored and shown in turn. ``source='teacher'`` needs
no disk, shows new views every epoch, and costs a third more time per step.

What speaks for the weight (docs/results/pictures.md, simulated streets): with it M -> D is better
than both at once for as long, by 1.4 points of linear segmentation (0.2 to 2.5, five seeds), and 5
and 25 times as much are worse (one seed). For M -> D nothing kept (``distill_weights=0.``) is as
good: DenseCL has a contrast of whole pictures itself. On simulated sound (docs/results/sound.md,
three seeds) B -> C -> A has 22.7 SP mAP with responses, 6.3 (5.6 to 7.0) more than with nothing
kept; B alone for as long has 26.2, all at once for as long 27.2.
"""
model = dict(
    type='multissl_mm.IncrementalLearning',
    responses=dict(source='stored', replicas=20, dtype='float16'),
    distill_weights=1.)
find_unused_parameters = True  # a stage does not use the layers of later ones
