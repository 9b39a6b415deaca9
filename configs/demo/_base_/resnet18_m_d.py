"""A narrow ResNet-18 (0.7 M parameters) and the pretext tasks M and D with projections of 128-d."""
_base_ = '../../_base_/resnet50_m_d.py'

width, dim = 128, 128  # of the backbone's last stage, and of the projections
neck = dict(in_channels=width, hid_channels=width, out_channels=dim)
momentum = 0.99  # 0.999 would need 1,000 steps to forget the start
backbone = dict(
    _delete_=True, type='mmpretrain.ResNet', depth=18, stem_channels=16, base_channels=16,
    norm_cfg=dict(type='BN'))
mocov2 = dict(feat_dim=dim, queue_len=1024, neck=neck)
densecl = dict(feat_dim=dim, queue_len=1024, neck=neck)
