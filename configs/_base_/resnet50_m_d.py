"""ResNet-50 and the pretext tasks M and D with projections of 512-d (section 5.2).

This project's choices, since the paper leaves them open: hidden layers of 2048, queues of 65,536
and temperature 0.2 as in MoCo v2 and DenseCL; dense and global loss count the same, as in DenseCL.
"""
momentum = 0.999  # of the momentum encoder
backbone = dict(type='mmpretrain.ResNet', depth=50, norm_cfg=dict(type='BN'),
                zero_init_residual=False)
mocov2 = dict(
    name='mocov2',
    type='multissl_mm.MoCoV2Task',
    feat_dim=512,
    queue_len=65536,
    neck=dict(type='mmpretrain.MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=512),
    head=dict(type='multissl_mm.QueueContrastHead', temperature=0.2))
densecl = dict(
    name='densecl',
    type='multissl_mm.DenseCLTask',
    feat_dim=512,
    queue_len=65536,
    loss_lambda=0.5,
    neck=dict(type='mmpretrain.DenseCLNeck', in_channels=2048, hid_channels=2048,
              out_channels=512),
    head=dict(type='multissl_mm.QueueContrastHead', temperature=0.2))
