"""MMPretrain's algorithms as pretext tasks on a ResNet-50, with the layers of its own configs.

Theirs want larger batches and other augmentations than MoCo v2; with the views of this project's
configs they learn, but do not expect the numbers of their papers. Synchronised batch norm is as
theirs.
"""
vector = dict(type='mmpretrain.NonLinearNeck', norm_cfg=dict(type='SyncBN'))
simclr = dict(
    name='simclr',
    type='multissl_mm.AlgorithmTask',
    algorithm=dict(
        type='mmpretrain.SimCLR',
        neck=dict(vector, in_channels=2048, hid_channels=2048, out_channels=128, num_layers=2),
        head=dict(type='mmpretrain.ContrastiveHead', temperature=0.1,
                  loss=dict(type='mmpretrain.CrossEntropyLoss'))))
byol = dict(  # with model.momentum = (0.99, 1.) and separate_views
    name='byol',
    type='multissl_mm.AlgorithmTask',
    algorithm=dict(
        type='mmpretrain.BYOL', base_momentum=0.01,
        neck=dict(vector, in_channels=2048, hid_channels=4096, out_channels=256, num_layers=2,
                  with_bias=True, with_last_bn=False),
        head=dict(
            type='mmpretrain.LatentPredictHead',
            loss=dict(type='mmpretrain.CosineSimilarityLoss'),
            predictor=dict(vector, in_channels=256, hid_channels=4096, out_channels=256,
                           num_layers=2, with_bias=True, with_last_bn=False,
                           with_avg_pool=False))))
simsiam = dict(  # with separate_views
    name='simsiam',
    type='multissl_mm.AlgorithmTask',
    algorithm=dict(
        type='mmpretrain.SimSiam',
        neck=dict(vector, in_channels=2048, hid_channels=2048, out_channels=2048, num_layers=3,
                  with_last_bn_affine=False),
        head=dict(
            type='mmpretrain.LatentPredictHead',
            loss=dict(type='mmpretrain.CosineSimilarityLoss'),
            predictor=dict(vector, in_channels=2048, hid_channels=512, out_channels=2048,
                           with_avg_pool=False, with_last_bn=False, with_last_bias=True))))
barlowtwins = dict(  # with separate_views
    name='barlowtwins',
    type='multissl_mm.AlgorithmTask',
    algorithm=dict(
        type='mmpretrain.BarlowTwins',
        neck=dict(vector, in_channels=2048, hid_channels=8192, out_channels=8192, num_layers=3,
                  with_last_bn=False),
        head=dict(type='mmpretrain.LatentCrossCorrelationHead', in_channels=8192,
                  loss=dict(type='mmpretrain.CrossCorrelationLoss'))))
swav = dict(  # two crops, no queue; name more in view_names, views and num_crops
    name='swav',
    type='multissl_mm.AlgorithmTask',
    algorithm=dict(
        type='mmpretrain.SwAV',
        neck=dict(type='mmpretrain.SwAVNeck', in_channels=2048, hid_channels=2048,
                  out_channels=128, norm_cfg=dict(type='SyncBN')),
        head=dict(
            type='mmpretrain.SwAVHead',
            loss=dict(type='mmpretrain.SwAVLoss', feat_dim=128, num_crops=[2],
                      num_prototypes=3000))))
