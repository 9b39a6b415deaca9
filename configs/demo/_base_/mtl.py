"""Any of the tasks at once on the simulator's pictures."""
_base_ = ['street_two_views.py', 'resnet18_m_d.py', 'sgd_12e.py', 'runtime.py']

model = dict(
    type='multissl_mm.MultiTask', backbone=_base_.backbone, channels_last=True,
    momentum=_base_.momentum)
