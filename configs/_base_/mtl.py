"""Any of the tasks at once (section 4.2) on pictures: ResNet-50, ImageNet-1k, 200 epochs."""
_base_ = ['imagenet_two_views.py', 'resnet50_m_d.py', 'sgd_200e.py', 'runtime.py']

model = dict(
    type='multissl_mm.MultiTask', backbone=_base_.backbone, momentum=_base_.momentum)
