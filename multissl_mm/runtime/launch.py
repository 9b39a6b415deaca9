"""From a prepared config to a runner, on one process or several."""
import argparse
import os
import subprocess

import torch.distributed
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..errors import MultiSSLError
from .config import dicts
from .run_info import write_run_info


def build_runner(cfg: Config, args: argparse.Namespace) -> Runner:
    """Builds the runner and writes ``run_info.json``."""
    if cfg.launcher != 'none' and get_device() == 'cpu':
        init_gloo(cfg.launcher)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    write_run_info(runner, args.config)
    return runner


def distribute_on_cpu(cfg: Config) -> None:
    """Several processes without an accelerator: gloo, and no device for DDP or synced norms."""
    cfg.merge_from_dict(dict(env_cfg=dict(dist_cfg=dict(backend='gloo'))))
    # Without a wrapper config MMEngine passes device_ids, which torch refuses on the CPU; with one
    # it no longer says broadcast_buffers=False, and every step would send all queues around.
    wrapper = cfg.get('model_wrapper_cfg') or {}
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **wrapper, 'device_ids': None
    }
    changed = [node for node in dicts(cfg.model) if node.get('type') in ('SyncBN', 'MMSyncBN')]
    for node in changed:
        node['type'] = 'multissl_mm.BNXd'
    if changed:
        print('[cpu] SyncBN exists on GPUs only: each process uses BN on its own batch')


def init_gloo(launcher: str) -> None:
    """Starts the process group that the runner then finds (MMEngine's own call needs CUDA)."""
    names = dict(slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
                 mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE',
                      'OMPI_COMM_WORLD_LOCAL_RANK')).get(launcher, ())
    for target, source in zip(('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), names):
        os.environ[target] = os.environ.get(source, '0')
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = subprocess.getoutput(
            f'scontrol show hostname {os.environ["SLURM_NODELIST"]} | head -n 1')
    if launcher != 'pytorch':
        os.environ.setdefault('MASTER_PORT', '29500')
    if 'RANK' not in os.environ or 'MASTER_ADDR' not in os.environ:
        raise MultiSSLError(f'--launcher {launcher}: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT '
                            'are not set; start it with tools/dist_train.sh or torchrun')
    torch.distributed.init_process_group('gloo')
