"""What a training took, and what it logged on its way, as its logs say."""
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from ..analysis.runs import read_log, read_run
from ..errors import MultiSSLError
from .row import Row
from .store import Stored

#: Beginnings of what is drawn of a run.
WATCHED = ('forgetting/', 'heldout/', 'gradient_norm_ratio/', 'gradient_cosine/')


def cost(trainings: Sequence[Tuple[Stored, Optional[str]]]) -> Dict[str, float]:
    """Steps, samples and seconds in steps (data included) of all trainings of an encoder.

    Evaluations in between, recorded responses and starts of processes are not in it.

    Args:
        trainings (sequence): Each once; with the checkpoint of its stage where that is all of it
            that counts.
    """
    total = dict(steps=0., samples=0., seconds=0.)
    for what, stage in dict.fromkeys(trainings):
        try:
            lines, log = read_log(what.path)
        except MultiSSLError:  # nothing is logged, as of commands that are not run
            continue
        cfg = Config.fromfile(log.with_name('config.py'))
        last = _end_of_stage(cfg, stage)
        # A validation has a time, too, of its own batches, and no loss.
        steps = [line for line in lines if {'time', 'loss'} <= line.keys()
                 and line['epoch'] <= last]
        before = 0
        for line in steps:
            total['seconds'] += line['time'] * (line['iter'] - before)
            before = line['iter']
        # The last steps of a run need not be logged.
        ends = [line['iter'] for line in lines if line['epoch'] <= last]
        count = max(ends, default=0)
        total['steps'] += count
        total['samples'] += count * cfg.train_dataloader.batch_size * _processes(what)
    return total


def named_trainings(rows: Mapping[str, Row], folder: Path, key: str
                    ) -> List[Tuple[Stored, Optional[str]]]:
    """Trainings that a row took, where they lie under the names of rows (earlier versions).

    Args:
        folder (Path): Of one seed.
    """
    row = rows[key]
    if row.within is not None and not (folder / key).is_dir():
        return [(Stored(folder, row.within[0]), row.within[1])]
    return [*(training for part, _ in row.before(0)
              for training in named_trainings(rows, folder, part)),
            *([(Stored(folder, key), None)] if row.pretrain else [])]


def _end_of_stage(cfg: Config, stage: Optional[str]) -> float:
    if stage is None:
        return float('inf')
    number = int(stage.partition('_')[0].removeprefix('stage'))
    return float(sum(cfg.train_cfg.stages[:number]))


def _processes(what: Stored) -> int:
    """Of a training, by the command that is noted."""
    words = what.read_made().get('command', [])
    return int(words[2]) if words and words[0].endswith('dist_train.sh') else 1


def curves(folder: Path) -> Optional[Dict[str, Any]]:
    """What a run has logged of forgetting and gradients, by epoch, and its stages."""
    try:
        run = read_run(folder)
    except MultiSSLError:
        return None
    found = {key: [x.tolist(), y.tolist()] for key, (x, y) in run.curves.items()
             if key.startswith(WATCHED)}
    return dict(curves=found, stages=run.stages) if found else None
