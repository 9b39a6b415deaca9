"""What every demo run shares."""
_base_ = '../../_base_/runtime.py'

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=4, max_keep_ckpts=2))
env_cfg = dict(cudnn_benchmark=False)
