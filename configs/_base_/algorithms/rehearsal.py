"""Rehearsal: every stage brings a task, and the earlier ones are learned on (not in the paper)."""
model = dict(type='multissl_mm.Rehearsal', loss_weights=dict())
find_unused_parameters = True  # a stage does not use the layers of later ones
