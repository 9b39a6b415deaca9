"""Which checkpoint a run starts from."""
import os.path as osp
from typing import Optional

from mmengine.config import Config
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process

from ..errors import MultiSSLError


def choose_checkpoint(cfg: Config, resume: Optional[str] = None) -> None:
    """Sets ``load_from`` and ``resume`` of a config: rank 0 decides, for all ranks.

    Args:
        cfg (Config): Of a run whose process group exists; changed in place.
        resume (str, optional): A checkpoint, or ``auto``: the newest of the work directory. Where
            it has none the run starts as it would without the option, from ``load_from`` if the
            config has that (MMEngine would forget it).

    Raises:
        MultiSSLError: On all ranks, if one of them does not see that file.
    """
    if not resume and cfg.get('resume'):  # by the config
        resume = cfg.get('load_from') or 'auto'
    decision = [bool(resume), resume or cfg.get('load_from')]
    if resume == 'auto' and is_main_process():
        newest = newest_checkpoint(cfg.work_dir)
        decision = [newest is not None, newest or cfg.get('load_from')]
        if newest is None:
            print(f'[resume] {cfg.work_dir} has no checkpoint yet: the run starts at its beginning')
    broadcast_object_list(decision)
    cfg.resume, cfg.load_from = decision
    path = cfg.load_from
    if path is None or '://' in path:
        return
    seen = all_gather_object(osp.isfile(path))
    if not any(seen):
        raise MultiSSLError(f'{path}: no such checkpoint (--resume or load_from)')
    if not all(seen):
        blind = ', '.join(str(rank) for rank, sees in enumerate(seen) if not sees)
        raise MultiSSLError(f'{path}: the checkpoint that rank 0 starts from cannot be seen by '
                            f'rank {blind}; put it on a path that all machines share')


def newest_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint that was written last to a work directory, if there is one."""
    pointer = osp.join(work_dir, 'last_checkpoint')
    if not osp.isfile(pointer):
        return None
    with open(pointer) as f:
        path = f.read().strip()
    # A work directory may have been moved since.
    beside = osp.join(work_dir, osp.basename(path))
    return beside if not osp.isfile(path) and osp.isfile(beside) else path
