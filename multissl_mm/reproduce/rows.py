"""A row of a table: how its encoder comes about, with one seed."""
import json
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config

from ..engine.hooks.checkpoint import FINAL
from ..errors import MultiSSLError
from ..utils.files import write_atomically
from ..utils.project import project_file
from .steps import Steps


class Row(NamedTuple):
    """One row of a table.

    Args:
        title (str): As in the paper where it is there.
        pretrain (str | None): Name of the config; None where there is nothing to train.
        parts (tuple[str]): Rows whose encoders it is made of, or learns from.
        backbone (str | None): Name of the config that has the backbone, where it is not pretrain's.
        kind (str): Of backbone, in the name of a Mask R-CNN's config.
        paper (tuple[float | None]): The paper's numbers in the order of the table's columns.
        options (tuple[str]): For ``--cfg-options`` of the pretraining.
        start (str | None): Row whose checkpoint the pretraining starts from.
        within (tuple[str, str] | None): Row that trained this one on its way, and the name of
            the checkpoint that it left of it.
        as_long_as (str | None): Config whose stages together are as long as this training is to
            be: a control of equal compute.
    """
    title: str
    pretrain: Optional[str] = None
    parts: Tuple[str, ...] = ()
    backbone: Optional[str] = None
    kind: str = ''
    paper: Tuple[Optional[float], ...] = ()
    options: Tuple[str, ...] = ()
    start: Optional[str] = None
    within: Optional[Tuple[str, str]] = None
    as_long_as: Optional[str] = None


class TableRun:
    """Pretrains and evaluates rows with one seed, below ``out/seed<k>``.

    Args:
        rows (mapping[str, Row]): By their keys.
        out (Path): Folder of the table.
        steps (Steps): That commands are run by.
        seed (int): Of everything. Defaults to 0.
        full (bool): The real thing, not the size of the demo. Defaults to False.
        gpus (int): Where not 0, training is distributed over as many GPUs.
        given (mapping[str, str]): Checkpoints of rows that others have trained.
    """

    #: Folder of the configs in the project; those of the demo are in ``demo/`` below it.
    configs = 'configs'

    def __init__(self, rows: Mapping[str, Row], out: Path, steps: Steps, seed: int = 0,
                 full: bool = False, gpus: int = 0,
                 given: Optional[Mapping[str, Optional[str]]] = None) -> None:
        self.rows, self.out, self.steps, self.seed = rows, out / f'seed{seed}', steps, seed
        self.full, self.gpus, self.given = full, gpus, dict(given or {})

    def evaluate(self, key: str, runs: Sequence[str]) -> None:
        """Evaluates a row, pretrained if need be; an evaluation leaves :meth:`result`."""
        raise NotImplementedError

    def result(self, key: str, run: str) -> Path:
        """File with the metrics of one evaluation of a row."""
        return self.out / f'{key}_{run}.json'

    def config(self, key: str) -> str:
        """The config that has a row's backbone."""
        row = self.rows[key]
        return self._config(row.backbone or row.pretrain or '')

    def _config(self, name: str) -> str:
        return project_file(f'{self.configs}/{"" if self.full else "demo/"}{name}.py')

    def checkpoint(self, key: str) -> Optional[str]:
        """The pretrained weights of a row, made if they are not there; None is random."""
        row = self.rows[key]
        if self.given.get(key):
            return self.given[key]
        if row.within is not None:
            whole, name = row.within
            self.checkpoint(whole)
            return str(self.out / whole / name)
        parts = [str(self.checkpoint(part)) for part in row.parts]
        if row.pretrain is None:
            return self._concatenated(key, parts) if parts else None
        options = [*row.options, *(f'model.experts.{k}.backbone.init_cfg.checkpoint={part}'
                                   for k, part in enumerate(parts))]
        if row.as_long_as is not None:
            stages = Config.fromfile(self._config(row.as_long_as)).train_cfg.stages
            options.append(f'train_cfg.max_epochs={sum(stages)}')
        if row.start is not None:
            options.append(f'load_from={self.checkpoint(row.start)}')
        final = self.out / key / FINAL
        self.train(f'{row.title}, seed {self.seed}: pretraining', key, self._config(row.pretrain),
                   options, done=final)
        return str(final)

    def _concatenated(self, key: str, parts: Sequence[str]) -> str:
        target = self.out / f'{key}.pth'
        self.steps.run(f'{self.rows[key].title}, seed {self.seed}: one checkpoint of '
                       f'{len(parts)} encoders', f'seed{self.seed}_{key}',
                       project_file('tools/model_converters/concat_backbones.py'),
                       self.config(key), str(target), *parts, done=target)
        return str(target)

    def train(self, title: str, name: str, config: str, options: Sequence[str], done: Path
              ) -> None:
        """Trains a config in the folder ``name`` of this run, with its seed.

        Full-size rates are for several GPUs and scale with the batch.
        """
        start = [project_file('tools/dist_train.sh'), config, str(self.gpus)] if self.gpus else [
            project_file('tools/train.py'), config]
        self.steps.run(title, f'seed{self.seed}_{name}', *start, '--resume',
                       *(['--auto-scale-lr'] if self.full else []), '--work-dir',
                       str(self.out / name), '--cfg-options', f'randomness.seed={self.seed}',
                       *options, done=done)

    def train_downstream(self, title: str, key: str, run: str, config: str,
                         options: Sequence[str], prefix: str, percent: bool = False) -> None:
        """Trains a downstream model, and keeps its last metrics as :meth:`result`.

        Args:
            prefix (str): Of the metrics.
            percent (bool): Whether they are shares, to be written in percent.
        """
        done = self.result(key, run)
        self.train(title, f'{key}_{run}', config, options, done=done)
        if not done.exists():
            metrics = last_metrics(self.out / f'{key}_{run}', prefix)
            write_atomically(done, json.dumps(
                {k: 100 * v if percent else v for k, v in metrics.items()}, indent=2))


def last_metrics(work_dir: Path, prefix: str) -> Dict[str, float]:
    """The last metrics of a prefix that a run of ``tools/train.py`` wrote, without it.

    Raises:
        MultiSSLError: If there are none.
    """
    found: Dict[str, float] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            logged: Dict[str, Any] = json.loads(line)
            metrics = {k[len(prefix):]: v for k, v in logged.items() if k.startswith(prefix)}
            found = metrics or found
    if not found:
        raise MultiSSLError(f'{work_dir} has no {prefix[:-1]} metrics; remove that folder and run '
                            'again')
    return found

