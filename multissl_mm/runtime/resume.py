"""Which checkpoint a run starts from."""
import os
import os.path as osp
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from mmengine.config import Config
from mmengine.dist import all_gather_object, get_world_size

from ..errors import MultiSSLError
from ..utils.checkpoint import check_content, check_whole
from ..utils.safe_load import CheckpointLoader
from .continuity import check_config
from .processes import decided

#: Of a run that was asked to stop, in its work directory.
INTERRUPTED = 'interrupted.pth'


def choose_checkpoint(cfg: Config, resume: Optional[str] = None, accept_changes: bool = False,
                      overwrite: bool = True) -> Dict[str, Any]:
    """Sets ``load_from`` and ``resume`` of a config: rank 0 decides, for all ranks.

    Args:
        cfg (Config): Of a run whose process group exists; changed in place.
        resume (str, optional): A checkpoint, or ``auto``: the newest whole one of the work
            directory. Where it has none the run starts as it would without the option, from
            ``load_from`` if the config has that (MMEngine would forget it).
        accept_changes (bool): Go on with another config or number of processes than the checkpoint
            was written with. Defaults to False.
        overwrite (bool): Start in a work directory that has checkpoints. Defaults to True.

    Returns:
        dict: ``meta`` of the checkpoint that is resumed; empty where none is.

    Raises:
        MultiSSLError: On all ranks, if one of them does not see that file, it is not whole, or it
            belongs to another run.
    """
    if not resume and cfg.get('resume'):  # by the config
        resume = cfg.get('load_from') or 'auto'
    cfg.resume, cfg.load_from, meta = decided(
        lambda: _decide(cfg, resume, accept_changes, overwrite))
    path = cfg.load_from
    if path is None or '://' in path:
        return meta
    seen = all_gather_object(osp.isfile(path))
    if not all(seen):
        blind = ', '.join(str(rank) for rank, sees in enumerate(seen) if not sees)
        raise MultiSSLError(f'{path}: the checkpoint that rank 0 starts from cannot be seen by '
                            f'rank {blind}; put it on a path that all machines share')
    check_whole(path)
    return meta


def after_restart(cfg: Config, resume: Optional[str] = None) -> Optional[str]:
    """What ``resume`` means to a training that a launcher or a scheduler has started again.

    It goes on from what it has written since it was first started, whatever it was told then.
    """
    counts = (os.environ.get(name) for name in
              ('TORCHELASTIC_RESTART_COUNT', 'MULTISSL_RESTART_COUNT', 'SLURM_RESTART_COUNT'))
    started_again = any(int(count or 0) for count in counts)
    return 'auto' if started_again and candidates(cfg.work_dir) else resume


def _decide(cfg: Config, resume: Optional[str], accept_changes: bool,
            overwrite: bool) -> Tuple[bool, Optional[str], Dict[str, Any]]:
    path = _start(cfg, resume, overwrite)
    if not resume or path is None:
        return False, cfg.get('load_from'), {}
    meta = _meta(path)
    check_config(path, meta, cfg, get_world_size(), accept_changes)
    return True, path, meta


def _start(cfg: Config, resume: Optional[str], overwrite: bool) -> Optional[str]:
    """The checkpoint that was asked for, or the newest one; None where there is none."""
    if resume == 'auto':
        newest = newest_checkpoint(cfg.work_dir)
        if newest is None:
            print(f'[resume] {cfg.work_dir} has no checkpoint yet: the run starts at its beginning')
        return newest
    there = candidates(cfg.work_dir) if not resume and not overwrite else []
    if there:
        raise MultiSSLError(
            f'{cfg.work_dir} has checkpoints of an earlier run ({osp.basename(there[0])}); go on '
            'with it by --resume, choose another --work-dir, or replace it with --overwrite')
    path = resume or cfg.get('load_from')
    if path and '://' not in path and not osp.isfile(path):
        raise MultiSSLError(f'{path}: no such checkpoint (--resume or load_from)')
    if path:
        check_content(path)
    return path


def _meta(path: str) -> Dict[str, Any]:
    # Its content has been looked at when it was chosen.
    if '://' in path:
        return {}
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    return dict(checkpoint.get('meta') or {}) if isinstance(checkpoint, dict) else {}


def newest_checkpoint(work_dir: str) -> Optional[str]:
    """The newest whole checkpoint of a work directory, if it has any.

    Raises:
        MultiSSLError: If there are some, but none is whole: a run that began anew would overwrite
            what may be saved.
    """
    there = candidates(work_dir)
    for path in there:
        try:
            check_content(path)
            return path
        except MultiSSLError as error:
            print(f'[resume] {error}')
    if there:
        raise MultiSSLError(f'{work_dir}: none of its {len(there)} checkpoints is whole; nothing '
                            'is overwritten. Bring one back, or start in another --work-dir')
    return None


def candidates(work_dir: str) -> List[str]:
    """Checkpoints of a work directory that a run may go on from, the newest first."""
    pointer, found = Path(work_dir, 'last_checkpoint'), []
    path = pointer.read_text(errors='replace').strip() if pointer.is_file() else ''
    if path:  # a work directory may have been moved or copied since
        found = [path if '://' in path else osp.join(work_dir, osp.basename(path))]
    others = [p for p in Path(work_dir).glob('*.pth') if p.name == INTERRUPTED or
              re.search(r'(?<!\d)\d+$', p.stem) and not p.name.startswith(('best_', 'stage'))]
    others.sort(key=lambda p: p.stat().st_mtime_ns, reverse=True)
    return found + [str(p) for p in others if str(p) not in found]
