"""What a run is asked for, on a command line or from Python."""
import argparse
import os
from dataclasses import dataclass, fields
from typing import Any, Dict, Optional

from ..utils.permissions import ALLOW_OUTSIDE, TRUST_CHECKPOINT, add_permissions
from .cfg_options import add_cfg_options


@dataclass(frozen=True)
class RunOptions:
    """A config and what is changed of it for this run.

    Attributes:
        config (str): A file, or ``mmdet::folder/name.py`` of an installed package. Paths may be
            ``Path``, here and below.
        checkpoint (str, optional): Of the whole model; is tested, and nothing is trained.
        work_dir (str, optional): Folder of logs and checkpoints. Defaults to the config's
            ``work_dir``, else to ``work_dirs/<config>``.
        cfg_options (dict, optional): Entries of the config to change, with dotted keys.
        launcher (str): ``none``, ``pytorch``, ``slurm`` or ``mpi``. Defaults to ``none``.
        local_rank (int): Of this process on its machine, where no variable says it.
        resume (str, optional): A checkpoint to go on from; ``auto`` is the newest of the work
            directory, if it has one.
        amp (bool): Train in mixed precision. Defaults to False.
        auto_scale_lr (bool): Scale the learning rate by the batch size. Defaults to False.
        large_batch (bool): Fit all that depends on the batch size to many GPUs, see
            :func:`~multissl_mm.runtime.large_batch.use_large_batch`. Defaults to False.
        no_validate (bool): Never run the val loop. Defaults to False.
        accept_changes (bool): Resume with another config, data or number of processes than the
            checkpoint was written with. Defaults to False.
        overwrite (bool): Start a new run in a work directory that has checkpoints. Defaults to
            False.
    """
    config: str
    checkpoint: Optional[str] = None
    work_dir: Optional[str] = None
    cfg_options: Optional[Dict[str, Any]] = None
    launcher: str = 'none'
    local_rank: int = 0
    resume: Optional[str] = None
    amp: bool = False
    auto_scale_lr: bool = False
    large_batch: bool = False
    no_validate: bool = False
    accept_changes: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):  # paths are texts from here on
            value = getattr(self, field.name)
            if isinstance(value, os.PathLike):
                object.__setattr__(self, field.name, os.fspath(value))


def parse_options(parser: argparse.ArgumentParser) -> RunOptions:
    """Adds the options that every tool with a runner has to its own, and reads the command line."""
    parser.add_argument('--work-dir', help='folder of logs and checkpoints '
                        '(default: the config\'s work_dir, else work_dirs/<config>)')
    add_cfg_options(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torch.distributed.launch writes it the one way or the other, by version.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    add_permissions(parser, ALLOW_OUTSIDE, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    return RunOptions(**{f.name: args[f.name] for f in fields(RunOptions) if f.name in args})
