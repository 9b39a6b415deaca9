"""The processes of a run: what their launcher says of them, and the group they form."""
import os
import subprocess
import zlib
from datetime import timedelta
from typing import Any, Callable, Dict, List, TypeVar

import torch.distributed
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, init_dist, is_distributed, is_main_process
from mmengine.utils.dl_utils import set_multi_processing
from torch.distributed import PrefixStore

from ..errors import MultiSSLError
from ..utils.nested import dicts

T = TypeVar('T')

#: What a launcher calls RANK, WORLD_SIZE and LOCAL_RANK.
RANK_VARIABLES = dict(
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'))
#: What is one job's own, by launcher.
JOB_VARIABLES = dict(slurm=('SLURM_JOB_ID', 'SLURM_STEP_ID'), mpi=('PMIX_NAMESPACE', ))

#: Seconds that a process waits for others before the job ends; NCCL's default, for gloo, too.
TIMEOUT = 600


def set_environment(launcher: str, local_rank: int = 0) -> None:
    """Names rank, world size and meeting point of a launched process as torchrun does.

    Raises:
        MultiSSLError: If nothing launched it.
    """
    env = os.environ
    for target, source in zip(('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
                              RANK_VARIABLES.get(launcher, ())):
        if source in env:
            env[target] = env[source]
    env.setdefault('LOCAL_RANK', str(local_rank))
    if launcher == 'none':
        return
    if launcher == 'slurm' and 'MASTER_ADDR' not in env and 'SLURM_NODELIST' in env:
        env['MASTER_ADDR'] = subprocess.getoutput(
            f'scontrol show hostname {env["SLURM_NODELIST"]} | head -n 1')
    if launcher in JOB_VARIABLES:
        env.setdefault('MASTER_PORT', str(job_port(launcher)))
    if 'RANK' not in env or 'MASTER_ADDR' not in env:
        raise MultiSSLError(f'--launcher {launcher}: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT '
                            'are not set; start it with tools/dist_train.sh or torchrun')


def job_port(launcher: str) -> int:
    """A port that all processes of a job know, and that another job on the machine hardly has."""
    job = '.'.join(os.environ.get(name, '') for name in JOB_VARIABLES[launcher])
    return 10000 + zlib.crc32(job.encode()) % 20000  # below those that systems hand out


def start_group(cfg: Config) -> None:
    """Starts the process group of a launched run, which the runner then finds."""
    if cfg.launcher == 'none' or is_distributed():
        return
    env_cfg = cfg.get('env_cfg') or {}
    if get_device() == 'cpu':  # MMEngine's own call needs CUDA
        seconds = (env_cfg.get('dist_cfg') or {}).get('timeout', TIMEOUT)
        torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=seconds),
                                             **_own_store())
        return
    # As a runner does it, and in its order: init_dist would choose `spawn` for data loaders.
    set_multi_processing(**env_cfg.get('mp_cfg', {}), distributed=True)
    init_dist(cfg.launcher, **env_cfg.get('dist_cfg', {}), **_own_store())


def _own_store() -> Dict[str, Any]:
    """Where the processes of a run meet that torchrun has started again.

    It keeps one store for all starts, in which they would find the addresses of processes that
    are no more: refused connections, or a hang (torch 2.11; older ones had a part for each start).
    """
    start = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    if start == '0' or os.environ.get('TORCHELASTIC_USE_AGENT_STORE') != 'True':
        return {}
    store, rank, world_size = next(torch.distributed.rendezvous('env://'))
    return dict(store=PrefixStore(f'start{start}', store), rank=rank, world_size=world_size)


def decided(make: Callable[[], T]) -> T:
    """What rank 0 makes, on all ranks.

    Raises:
        MultiSSLError: On all ranks, if it cannot be made.
    """
    made: List[Any] = [None, None]
    if is_main_process():
        try:
            made[0] = make()
        except MultiSSLError as error:
            made[1] = str(error)
    broadcast_object_list(made)
    if made[1] is not None:
        raise MultiSSLError(made[1])
    return made[0]


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
