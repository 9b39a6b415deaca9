"""Incremental learning (section 4.3): old tasks are kept by their stored responses.

This project's choices, since the paper leaves them open: the distillation loss (see the tasks), its
weight of 1, and 20 replicas: responses to one fixed set of views per sample would take the
augmentation from later stages, so 20 sets are stored and shown in turn. ``source='teacher'`` needs
no disk, shows new views every epoch, and costs a tenth to a quarter more time per step.

What speaks for the weight (docs/results/pictures.md, simulated streets): 5 and 25 times as much are
worse for M -> D (one seed). Nothing kept (``distill_weights=0.``) is as good there, since DenseCL
has a contrast of whole pictures itself; with either M -> D is better than both at once for as long,
by 1.4 to 1.9 points of linear segmentation (five seeds). On simulated sound (docs/results/sound.md,
five seeds) B -> C -> A has 23.3 SP mAP with responses, 5.5 (2.7 to 8.4) more than with nothing
kept; B alone for as long has 26.4, all at once for as long 26.9.
"""
model = dict(
    type='multissl_mm.IncrementalLearning',
    responses=dict(source='stored', replicas=20, dtype='float16'),
    distill_weights=1.)
find_unused_parameters = True  # a stage does not use the layers of later ones
