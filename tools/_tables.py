"""What all tables of ``reproduce.py`` share: rows, their pretraining, their metrics."""
import json
import statistics
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.files import write_atomically
from multissl_mm.utils.steps import ROOT, Steps


class Row(NamedTuple):
    """One row of a table.

    Args:
        title (str): As in the paper where it is there.
        pretrain (str | None): Name of the config; None where there is nothing to train.
        parts (tuple[str]): Rows whose encoders it is made of, or learns from.
        backbone (str | None): Name of the config that has the backbone, where it is not pretrain's.
        kind (str): Of backbone, in the name of a Mask R-CNN's config.
        paper (tuple[float | None]): The paper's numbers in the order of the table's columns.
    """
    title: str
    pretrain: Optional[str] = None
    parts: Tuple[str, ...] = ()
    backbone: Optional[str] = None
    kind: str = ''
    paper: Tuple[Optional[float], ...] = ()


class Size(NamedTuple):
    """Where the pretraining configs of a size are."""
    configs: str
    full: bool


class Pretraining:
    """Pretrains the rows of a table with one seed, below ``out/seed<k>``.

    Args:
        rows (mapping[str, Row]): Of the table.
        size (Size): Demo or full.
        out (Path): Folder of the table, relative to the project's.
        seed (int): Of everything.
        steps (Steps): That commands are run by.
        gpus (int): Where not 0, training is distributed over as many GPUs.
        given (mapping[str, str]): Checkpoints of rows that others have trained.
    """

    def __init__(self, rows: Mapping[str, Row], size: Size, out: Path, seed: int, steps: Steps,
                 gpus: int = 0, given: Optional[Mapping[str, Optional[str]]] = None) -> None:
        self.rows, self.size, self.out, self.seed = rows, size, out / f'seed{seed}', seed
        self.steps, self.gpus, self.given = steps, gpus, dict(given or {})

    def config(self, key: str) -> str:
        """The config that has a row's backbone."""
        return f'{self.size.configs}/{self.rows[key].backbone or self.rows[key].pretrain}.py'

    def checkpoint(self, key: str) -> Optional[str]:
        """The pretrained weights of a row, made if they are not there; None is random."""
        row = self.rows[key]
        if self.given.get(key):
            return self.given[key]
        parts = [self.checkpoint(part) for part in row.parts]
        if row.pretrain is None:
            return self._concatenated(key, parts) if parts else None
        experts = [f'model.experts.{k}.backbone.init_cfg.checkpoint={part}'
                   for k, part in enumerate(parts)]
        config = f'{self.size.configs}/{row.pretrain}.py'
        work_dir = self.out / key
        last = work_dir / f'epoch_{Config.fromfile(ROOT / config).train_cfg.max_epochs}.pth'
        self.steps.run(f'{row.title}, seed {self.seed}: pretraining', f'seed{self.seed}_{key}',
                       *train(config, self.gpus, self.size), '--work-dir', str(work_dir),
                       '--cfg-options', f'randomness.seed={self.seed}', *experts, done=ROOT / last)
        return str(last)

    def _concatenated(self, key: str, parts: Sequence[Optional[str]]) -> str:
        target = self.out / f'{key}.pth'
        self.steps.run(f'{self.rows[key].title}, seed {self.seed}: one checkpoint of '
                       f'{len(parts)} encoders', f'seed{self.seed}_{key}',
                       'tools/model_converters/concat_backbones.py', self.config(key), str(target),
                       *parts, done=ROOT / target)
        return str(target)


def train(config: str, gpus: int, size: Size) -> List[str]:
    """The beginning of a training command; full-size rates are for several GPUs and scale."""
    start = ['tools/dist_train.sh', config, str(gpus)] if gpus else ['tools/train.py', config]
    return [*start, '--resume', *(['--auto-scale-lr'] if size.full else [])]


def last_metrics(work_dir: Path, prefix: str) -> Dict[str, float]:
    """The last metrics of a prefix that a run of ``tools/train.py`` wrote, without it.

    Raises:
        MultiSSLError: If there are none.
    """
    found: Dict[str, float] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            metrics = {k[len(prefix):]: v for k, v in json.loads(line).items()
                       if k.startswith(prefix)}
            found = metrics or found
    if not found:
        raise MultiSSLError(f'{work_dir} has no {prefix[:-1]} metrics; remove that folder and run '
                            'again')
    return found


def spread(found: Mapping[str, Mapping[str, float]], metric: str) -> Tuple[float, float]:
    """Mean and standard deviation of a metric over the results of several seeds."""
    values = [metrics[metric] for metrics in found.values()]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.


def cell(found: Mapping[str, Mapping[str, float]], metric: str, digits: int = 1) -> str:
    """Mean ± standard deviation over seeds, the mean alone where there is one seed."""
    mean, std = spread(found, metric)
    return f'{mean:.{digits}f}' + (f' ± {std:.{digits}f}' if len(found) > 1 else '')


def write_results(out: Path, table: str, results: Mapping[str, dict],
                  lines: Sequence[Sequence[str]]) -> None:
    """Writes ``<table>.json`` and, of the lines' cells, ``<table>.md``."""
    write_atomically(out / f'{table}.json', json.dumps(results, indent=2))
    write_atomically(out / f'{table}.md', ''.join(f'| {" | ".join(line)} |\n' for line in lines))
