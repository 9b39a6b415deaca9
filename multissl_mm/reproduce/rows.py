"""How the encoders of a table come about and are evaluated, with one seed."""
import math
from itertools import accumulate
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from ..engine.hooks.checkpoint import FINAL
from ..utils.digest import digest
from ..utils.files import read_json
from ..utils.nested import dicts
from ..utils.project import project_file
from .outcomes import collect, publish
from .plan import Plan, Step
from .row import Encoder, Row
from .scales import SCALES, Scale, listed
from .steps import Steps
from .store import Origin, Store, Stored, code_digest, deciding, merged, short_path


class TableRun:
    """Pretrains and evaluates rows with one seed; results by their names in ``out/seed<k>``.

    What is trained and evaluated lies in a :class:`Store` beside ``out``, which all tables there
    share.

    Args:
        rows (mapping[str, Row]): By their keys.
        out (Path): Folder of the table.
        steps (Steps): That commands are run by.
        seed (int): Of everything. Defaults to 0.
        scale (Scale): How large everything is. Defaults to that of the demo.
        gpus (int): Where not 0, training is distributed over as many GPUs.
        given (mapping[str, str]): Checkpoints of rows that others have trained.
        asked (sequence[tuple[str, int]]): Rows and seeds that will be trained anyway: their first
            stages can serve.
        store (Store, optional): Another one.
    """

    #: Folder of the configs in the project; those of the demo are in ``demo/`` below it.
    configs = 'configs'

    def __init__(self, rows: Mapping[str, Row], out: Path, steps: Steps, seed: int = 0,
                 scale: Scale = SCALES['demo'], gpus: int = 0,
                 given: Optional[Mapping[str, Optional[str]]] = None,
                 asked: Sequence[Tuple[str, int]] = (), store: Optional[Store] = None) -> None:
        self.rows, self.out, self.steps, self.seed = rows, out / f'seed{seed}', steps, seed
        self.scale, self.gpus, self.given, self.asked = scale, gpus, dict(given or {}), asked
        self.store = store or Store(out.parent / 'runs')

    def add(self, plan: Plan, key: str, runs: Sequence[str]) -> None:
        """Adds to a plan what evaluating a row takes; an evaluation leaves :meth:`result`.

        Results in ``out`` that do not say what they were made of, as those of earlier versions,
        are taken as they are, unless everything is to be made anew.

        Args:
            runs (sequence[str]): Evaluations; none to pretrain only.
        """
        encoder = self.encoder(plan, key, self.seed)
        for need in encoder.needs if not runs else ():
            plan.want(plan.steps[need])
        self.add_evaluations(plan, key, encoder, runs)

    def add_evaluations(self, plan: Plan, key: str, encoder: Encoder, runs: Sequence[str]) -> None:
        """Adds the steps of some evaluations."""
        raise NotImplementedError

    def result(self, key: str, run: str) -> Path:
        """File with the metrics of one evaluation of a row."""
        return self.out / f'{key}_{run}.json'

    def config(self, key: str) -> str:
        """The config that has a row's backbone."""
        row = self.rows[key]
        return self._config(row.backbone or row.pretrain or '')

    def _config(self, name: str) -> str:
        return project_file(f'{self.configs}/{self.scale.folder}{name}.py')

    def encoder(self, plan: Plan, key: str, seed: int) -> Encoder:
        """The encoder of a row with a seed; what it takes is added to the plan."""
        row, config = self.rows[key], self.config(key)
        if self.given.get(key):
            path = Path(str(self.given[key]))
            return self._untrained(config, path, 'given', *self.store.data(str(path)))
        if row.within is not None:
            whole, stage = row.within
            alone = row.pretrain and self._training(plan, key, seed)
            if not alone or not alone.done.exists() and (
                    (whole, seed) in self.asked or self._training(plan, whole, seed).done.exists()):
                step = self._training(plan, whole, seed)
                # Alone it would be the same.
                settings = (alone.what.settings, FINAL) if alone else (step.what.settings, stage)
                origin = Origin((step.what.identity, stage), settings)
                return Encoder(config, step.what.path / stage, origin, (plan.add(step), ),
                               ((step.what, stage), ))
        if row.pretrain is not None:
            step = self._training(plan, key, seed)
            before = self._before(plan, key, seed)
            return Encoder(config, step.done, (step.what.origin, FINAL), (plan.add(step), ), (
                *(trained for encoder in before for trained in encoder.trained),
                (step.what, None)))
        parts = self._before(plan, key, seed)
        if not parts:
            return self._untrained(config, None, 'random')
        return self._merged(plan, key, seed, parts)

    def _untrained(self, config: str, checkpoint: Optional[Path], *determined: str) -> Encoder:
        """Of a config, which says how pictures or sounds come to the backbone, too."""
        cfg = merged(config, ())
        return Encoder(config, checkpoint, (
            *determined, digest([cfg.model.backbone, cfg.get('data_preprocessor')])))

    def _before(self, plan: Plan, key: str, seed: int) -> List[Encoder]:
        """Encoders that a row is made of, learns from or starts from."""
        found = []
        for name, its in self.rows[key].before(seed):
            encoder = self.encoder(plan, name, its)
            if its != seed:  # by how much is a setting: that of all seeds of the row
                encoder = encoder._replace(origin=Origin(
                    encoder.origin, [encoder.origin, its - seed]))
            found.append(encoder)
        return found

    def _training(self, plan: Plan, key: str, seed: int) -> Step:
        row = self.rows[key]
        config = self._config(str(row.pretrain))
        options = [*self.data_options(), *self.row_options(row), *row.options]
        if row.shares:
            epochs = sum(merged(config, tuple(options)).train_cfg.stages)
            options.append('train_cfg.stages=' + listed(
                [epochs * share // sum(row.shares) for share in row.shares]))
        if row.as_long_as is not None:
            stages = merged(self._config(row.as_long_as), ()).train_cfg.stages
            options.append(f'train_cfg.max_epochs={sum(map(self.scale.longer, stages))}')
        else:
            options += self.scale.lengths(merged(config, tuple(options)))
        before = self._before(plan, key, seed)
        cfg = merged(config, tuple(options))
        what = self.store.named(
            key, seed, deciding(config, tuple(options)), self.gpus,
            self._seen(cfg), [encoder.origin for encoder in before])
        experts = before[:len(row.parts)]
        options += [f'model.experts.{k}.backbone.init_cfg.checkpoint='
                    f'{short_path(expert.checkpoint)}' for k, expert in enumerate(experts)]
        options += [f'load_from={short_path(start.checkpoint)}'
                    for start in before[len(experts):]]
        done = what.path / FINAL
        logged = ['default_hooks.logger.interval=1'] if self.scale.watched == 1 else []
        return self.train(
            f'{row.title}, seed {seed}: pretraining', f'seed{seed}_{key}', what, config,
            [*options, *checkpoints(cfg), *logged, *self.watching(cfg)], seed, done,
            tuple(need for encoder in before for need in encoder.needs))

    def data_options(self) -> Sequence[str]:
        """Options of a pretraining for the data and batches of the scale."""
        raise NotImplementedError

    def row_options(self, row: Row) -> Sequence[str]:
        """Further ones, of one row."""
        return []

    def heldout(self) -> Sequence[str]:
        """What :class:`ForgettingHook` measures on, as options below its name."""
        raise NotImplementedError

    def watching(self, cfg: Config) -> Sequence[str]:
        """Options with which a run of several tasks logs what its report draws."""
        if len(cfg.model.get('tasks') or ()) < 2:
            return ()
        options = ['gradients.type=multissl_mm.GradientHook',
                   f'gradients.interval={self.scale.watched}']
        if 'stages' in cfg.train_cfg:
            options += ['forgetting.type=multissl_mm.ForgettingHook', 'forgetting.interval=4',
                        *(f'forgetting.{option}' for option in self.heldout())]
        return [f'default_hooks.{option}' for option in options]

    def _merged(self, plan: Plan, key: str, seed: int, parts: List[Encoder]) -> Encoder:
        """Side by side, or the mean of their weights."""
        row, config = self.rows[key], self.config(key)
        kind = 'average' if row.average else 'concat'
        options: Sequence[str] = ()
        data: List[str] = []
        if row.average:  # batch norm is measured on what is trained on
            options = self.data_options()
            data = self._seen(merged(config, tuple(options)))
        what = self.store.named(key, seed, kind, digest(merged(config, ()).model.backbone), *data,
                                [part.origin for part in parts])
        target = what.path / f'{kind}.pth'
        plan.add(Step(
            f'{row.title}, seed {seed}: one checkpoint of {len(parts)} encoders',
            f'seed{seed}_{key}', (
                project_file(f'tools/model_converters/{kind}_backbones.py'), config,
                short_path(target), *(short_path(part.checkpoint) for part in parts),
                *(('--cfg-options', *options) if options else ())), target,
            what, tuple(need for part in parts for need in part.needs)))
        return Encoder(config, target, (what.origin, target.name), (target, ), tuple(
            dict.fromkeys(trained for part in parts for trained in part.trained)))

    def _seen(self, cfg: Config) -> List[str]:
        """What is in the folders of a training: labels of scenes only where it reads them."""
        nodes = [node for split in ('train', 'val')
                 for node in dicts(cfg.get(f'{split}_dataloader'))]
        return self.store.data(
            *sorted({str(node['data_root']) for node in nodes if node.get('data_root')}),
            labels=any('labels' in (node.get('keys') or ()) for node in nodes))

    def train(self, title: str, log: str, what: Stored, config: str, options: Sequence[str],
              seed: int, done: Path, needs: Tuple[Path, ...]) -> Step:
        """A training of a config with its seed.

        Full-size rates are for several GPUs and scale with the batch.
        """
        start = [project_file('tools/dist_train.sh'), config, str(self.gpus)] if self.gpus else [
            project_file('tools/train.py'), config]
        return Step(title, log, (
            *start, '--resume', *(['--auto-scale-lr'] if self.scale.full else []), '--work-dir',
            short_path(what.path), '--cfg-options', f'randomness.seed={seed}', *options), done,
            what, needs)

    def want(self, plan: Plan, key: str, run: str, encoder: Encoder, step: Step) -> None:
        """Adds an evaluation, and keeps its metrics as :meth:`result`.

        A result of other settings, data or weights stays until there is the new one.
        """
        result = self.result(key, run)
        there = read_json(result) if result.is_file() else {}
        if there and 'made' not in there and not plan.fresh:
            self.steps.console.print(f'{result}: taken as it is; it does not say what it was made '
                                     'of', style='yellow', highlight=False, soft_wrap=True)
            return
        # M alone and on its way to IL have different identities, and the same settings.
        made = there.get('made', {})
        same = made.get('settings') == step.what.settings
        as_now = made.get('codes') == [code_digest()]
        if same and (as_now or not plan.fresh) and not step.done.exists():
            return  # kept, or copied from elsewhere, without what it was made of
        plan.want(step, lambda: publish(result, step, encoder, self.out / key))

    def downstream(self, key: str, run: str, encoder: Encoder, title: str, config: str,
                   options: Sequence[str], init: Sequence[str], prefix: str,
                   percent: bool = False) -> Step:
        """The training of a downstream model; its last metrics are the result.

        Args:
            options (sequence[str]): That decide what it comes to.
            init (sequence[str]): That say where the encoder is.
            prefix (str): Of the metrics.
            percent (bool): Whether they are shares, to be written in percent.
        """
        cfg = merged(config, tuple(options))
        epochs = cfg.train_cfg.max_epochs
        length = max(1, round(self.scale.evaluated * epochs))
        lengths = [f'train_cfg.max_epochs={length}'] if length != epochs else []
        if lengths and cfg.train_cfg.get('val_interval', 1) < 100:
            lengths.append(f'train_cfg.val_interval={length}')
        what = self.store.named(
            f'{key}_{run}', self.seed, deciding(config, (*options, *lengths)), self.gpus,
            self._seen(cfg), encoder.origin)
        step = self.train(title, f'seed{self.seed}_{key}_{run}', what, config,
                          [*init, *options, *lengths], self.seed, what.json, encoder.needs)
        return step._replace(collect=lambda: collect(what, prefix, 100. if percent else 1.))


def checkpoints(cfg: Config) -> List[str]:
    """Options with which a run leaves a checkpoint at the end of every stage, however long."""
    interval = cfg.default_hooks.checkpoint.interval
    ends = list(accumulate(cfg.train_cfg.get('stages', ())))[:-1]
    kept = math.gcd(interval, *ends)
    return [] if kept == interval else [f'default_hooks.checkpoint.interval={kept}']
