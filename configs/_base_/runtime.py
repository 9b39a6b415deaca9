"""What every pretraining run shares."""
default_scope = 'mmpretrain'
custom_imports = dict(imports=['multissl_mm'])

default_hooks = dict(
    runtime_info=dict(type='multissl_mm.DeferredInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Keeps the last 3; an incremental run also keeps the last one of every stage.
    checkpoint=dict(type='multissl_mm.AtomicCheckpointHook', interval=10, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    epoch_seed=dict(type='multissl_mm.EpochSeedHook'),
    loss_guard=dict(type='multissl_mm.LossGuardHook', interval=10))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
