"""Tables 2a, 2b and 3 of the paper, for ``reproduce.py``: what sound encoders are worth."""
import argparse
import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from _tables import (
    Pretraining,
    Row,
    Size,
    cell,
    last_metrics,
    spread,
    train,
    write_results,
)
from demo_sound import sound_data
from rich.console import Console
from rich.table import Table

from multissl_mm.utils.files import write_atomically
from multissl_mm.utils.steps import ROOT, Steps

#: Of a row: evaluation: seed: metrics.
Found = Dict[str, Dict[str, Dict[str, float]]]

DEMO = Size('configs/sound/demo', full=False)
FULL = Size('configs/sound', full=True)
DOWNSTREAM = ('sp', 'vr', 's3r')


class Column(NamedTuple):
    """A column of the tables.

    Args:
        title (str): At its head.
        run (str): The evaluation that it comes from: a downstream task, frozen or not.
        metric (str): Of that task.
        digits (int): After the point.
        paper (int | None): Which of a row's numbers in the paper it is.
        without (str | None): Metric that says what nothing but a guess gets.
    """
    title: str
    run: str
    metric: str
    digits: int = 1
    paper: Optional[int] = None
    without: Optional[str] = None


COLUMNS = (
    Column('SP mIoU', 'sp', 'mIoU', paper=0, without='constant'),
    Column('restricted', 'sp', 'mIoU_restricted'),
    Column('VR, sounds', 'vr', 'sound_top1', paper=1, without='sound_chance'),
    Column('VR, videos', 'vr', 'video_top1', without='video_chance'),
    Column('S3R error', 's3r', 'error', 4, paper=2, without='copy_error'),
    Column('SP mIoU, frozen', 'sp_frozen', 'mIoU', without='constant'),
    Column('SP mAP, frozen', 'sp_frozen', 'mAP'),
    Column('S3R error, frozen', 's3r_frozen', 'error', 4, without='copy_error'),
)
GUESSING = 'No encoder'  # title of a row with Column.without

SINGLE: Dict[str, Row] = dict(
    random=Row('Random init', backbone='b'),
    supervised=Row('Supervised', 'supervised', paper=(26.82, None, .2085)),
    a=Row('A', 'a', paper=(15.32, 9.13, .2105)),
    b=Row('B', 'b', paper=(24.33, 27.35, .2501)),
    c=Row('C', 'c', paper=(16.85, 20.44, .2931)),
)


def _combined(combination: str, numbers: Dict[str, Tuple[float, ...]]) -> Dict[str, Row]:
    parts = tuple(combination.split('_'))
    title = '+'.join(parts).upper()
    rows = {}
    for method, name, needs in METHODS:
        key = f'{method}_{combination}'
        rows[key] = Row(f'{name} ({title})', None if method == 'concat' else key,
                        parts=parts if needs else (), backbone=key, paper=numbers.get(method, ()))
    return rows


#: Name in configs, name in the paper, whether it is made of finished encoders.
METHODS = (('euclidean-dist', 'Euclidean dist', True),
           ('contrastive-dist', 'Contrastive dist', True),
           ('progressive', 'ProgressNet', False), ('concat', 'Concatenate', True),
           ('mtl', 'Multi-task', False), ('il', 'IL', False))
#: The paper's numbers: SP mIoU, VR top-1, S3R error.
PAPER: Dict[str, Dict[str, Tuple[float, ...]]] = dict(
    b_c={'euclidean-dist': (25.38, 27.64, .2607), 'contrastive-dist': (25.59, 27.96, .2589),
         'progressive': (30.38, 29.06, .2397), 'concat': (26.37, 28.31, .2495),
         'mtl': (27.28, 28.94, .2411), 'il': (32.76, 29.72, .2378)},
    b_c_a={'euclidean-dist': (25.82, 27.45, .2188), 'contrastive-dist': (27.39, 27.95, .2145),
           'progressive': (32.45, 29.68, .2035), 'concat': (30.14, 28.09, .2101),
           'mtl': (31.21, 29.52, .2066), 'il': (34.05, 30.32, .1988)},
    b_a={'concat': (29.55, 24.47, .2165), 'mtl': (29.23, 25.10, .2073),
         'il': (31.89, 25.65, .2029)},
    c_a={'concat': (23.57, 19.03, .2347), 'mtl': (24.73, 20.22, .2308),
         'il': (25.02, 21.00, .2251)},
)
COMBINED = {combination: _combined(combination, numbers) for combination, numbers in PAPER.items()}
ROWS: Dict[str, Row] = {**SINGLE, **{k: r for rows in COMBINED.values() for k, r in rows.items()}}
SOUND_TABLES: Dict[str, Dict[str, Row]] = dict(
    table2a=SINGLE,
    table2b={**COMBINED['b_c'], **COMBINED['b_c_a']},
    # Rows of the other methods for these combinations are there, too, but not by default.
    table3={k: r for c in ('b_a', 'c_a', 'b_c', 'b_c_a') for k, r in COMBINED[c].items()},
)
TITLES = dict(table2a='Table 2a: single tasks', table2b='Table 2b: ways of combining them',
              table3='Table 3: combinations of tasks')


def default_rows(table: str) -> List[str]:
    """Those of the paper; of Table 3 the three methods that it has there."""
    methods = ('concat', 'mtl', 'il')
    return [key for key in SOUND_TABLES[table]
            if table != 'table3' or key.partition('_')[0] in methods]


class SoundRun(Pretraining):
    """Pretrains and evaluates rows of the sound tables; arguments of :class:`Pretraining`."""

    def run(self, key: str, downstream: Sequence[str]) -> None:
        """Evaluates one row; every evaluation leaves ``<key>_<run>.json``."""
        checkpoint, title = self.checkpoint(key), self.rows[key].title
        for task in downstream:
            # Retrieval is always of a frozen encoder, and concatenated ones are frozen in any case.
            for frozen in (False, True) if task != 'vr' and not key.startswith(
                    'concat') else (False, ):
                run = f'{task}{"_frozen" * frozen}'
                self._evaluate(key, run, task, frozen, checkpoint,
                               f'{title}, seed {self.seed}: {task.upper()}' +
                               ', frozen encoder' * frozen)

    def result(self, key: str, run: str) -> Path:
        """File with the metrics of one evaluation of a row."""
        return ROOT / self.out / f'{key}_{run}.json'

    def _evaluate(self, key: str, run: str, task: str, frozen: bool, checkpoint: Optional[str],
                  title: str) -> None:
        done, work_dir = self.result(key, run), self.out / f'{key}_{run}'
        config = f'configs/benchmarks/sound/{"" if self.size.full else "demo/"}{task}.py'
        options = [f'pretrained.config={self.config(key)}',
                   f'pretrained.checkpoint={checkpoint or "random"}',
                   f'randomness.seed={self.seed}'] + ['model.frozen=True'] * frozen
        self.steps.run(title, f'seed{self.seed}_{key}_{run}', *train(config, self.gpus, self.size),
                       '--work-dir', str(work_dir), '--cfg-options', *options, done=done)
        if not done.exists():
            write_atomically(done, json.dumps(last_metrics(ROOT / work_dir, f'{task}/'), indent=2))


def run_sound_table(args: argparse.Namespace, out: Path, steps: Steps) -> None:
    """What ``reproduce.py`` does for a table of sound."""
    if not args.full:
        sound_data(steps)
    for seed in args.seeds:
        run = SoundRun(ROWS, FULL if args.full else DEMO, out, seed, steps, args.gpus,
                       given=dict(supervised=args.checkpoint))
        for key in args.rows or default_rows(args.table):
            run.run(key, args.downstream)
    show(ROOT / out, args.table, steps.console)
    if args.table == 'table2a':
        show_bounds(ROOT / out, steps.console)
    steps.console.print(f'{steps.minutes:.1f} minutes. Results in {out}', highlight=False)


def collect(out: Path, key: str) -> Found:
    """All results of a row that are there."""
    found: Found = {}
    for run in sorted({column.run for column in COLUMNS}):
        # Concatenated encoders are always frozen.
        name = run.replace('_frozen', '') if key.startswith('concat') else run
        files = sorted(out.glob(f'seed*/{key}_{name}.json'))
        if files:
            found[run] = {path.parent.name: json.loads(path.read_text()) for path in files}
    return found


def show(out: Path, table: str, console: Console) -> None:
    """Prints what is there of a table, over all seeds, the paper's numbers below.

    Writes ``<table>.json``, ``.md`` and ``.png``.
    """
    titles = [column.title for column in COLUMNS]
    shown = Table('', *titles, title=f'{TITLES[table]}; OmniAudio format, %, S3R as a share of the '
                  'variance', caption=f'{GUESSING}: the best constant map, chance, the input pair '
                  'copied')
    lines = [['', *titles], ['---'] * (1 + len(titles))]
    results = {key: found for key in SOUND_TABLES[table] if (found := collect(out, key))}
    # These depend on the data alone, so that those of any row will do.
    anything = {run: of_seeds for found in results.values() for run, of_seeds in found.items()}
    cells = [_cell(anything, c, c.without) for c in COLUMNS]
    shown.add_row(GUESSING, *cells, end_section=True)
    lines.append([GUESSING, *cells])
    for key, found in results.items():
        row = ROWS[key]
        cells = [_cell(found, c, c.metric) for c in COLUMNS]
        shown.add_row(row.title, *cells)
        lines.append([row.title, *cells])
        if row.paper:
            shown.add_row('  in the paper', *[
                '' if c.paper is None or row.paper[c.paper] is None else
                f'{row.paper[c.paper]:.{c.digits}f}' for c in COLUMNS], style='dim')
    Console(width=max(console.width, 132)).print(shown)
    write_results(out, table, results, lines)
    draw(results, out / f'{table}.png')


class Bound(NamedTuple):
    """What must hold if data, tasks and evaluations are sound.

    Args:
        title (str): In words.
        value, limit (float): What was measured (mean over seeds), and against what.
        holds (bool): Whether it is so.
    """
    title: str
    value: float
    limit: float
    holds: bool


def bounds(out: Path) -> List[Bound]:
    """Those of which all results are there."""
    found = {key: collect(out, key) for key in SINGLE}

    def mean(key: str, run: str, metric: str) -> Optional[float]:
        return spread(found[key][run], metric)[0] if run in found[key] else None

    made: List[Bound] = []

    def add(title: str, value: Optional[float], limit: Optional[float], times: float = 1.,
            below: bool = False) -> None:
        if value is not None and limit is not None:
            limit *= times
            made.append(Bound(title, value, limit, value < limit if below else value > limit))

    for key, row in SINGLE.items():
        add(f'{row.title}: SP mIoU above 2 x that of the best constant map',
            mean(key, 'sp', 'mIoU'), mean(key, 'sp', 'constant'), 2.)
        add(f'{row.title}: S3R error below that of the input pair copied',
            mean(key, 's3r', 'error'), mean(key, 's3r', 'copy_error'), below=True)
        add(f'{row.title}: S3R error below that of the mean predictor',
            mean(key, 's3r', 'error'), 1., below=True)
        add(f'{row.title}: VR among videos above 5 x chance',
            mean(key, 'vr', 'video_top1'), mean(key, 'vr', 'video_chance'), 5.)
    for key in 'abc':
        title = f'{SINGLE[key].title}, frozen'
        add(f'{title}: SP mIoU above random',
            mean(key, 'sp_frozen', 'mIoU'), mean('random', 'sp_frozen', 'mIoU'))
        add(f'{title}: S3R error below random', mean(key, 's3r_frozen', 'error'),
            mean('random', 's3r_frozen', 'error'), below=True)
    add('B, frozen: SP average precision above 3 x random',
        mean('b', 'sp_frozen', 'mAP'), mean('random', 'sp_frozen', 'mAP'), 3.)
    return made


def show_bounds(out: Path, console: Console) -> None:
    """Prints whether what the single tasks are worth makes sense."""
    shown = Table('', 'measured', 'bound', '', title='What must hold')
    for bound in bounds(out):
        digits = 1 if bound.limit > 1 else 4
        shown.add_row(bound.title, f'{bound.value:.{digits}f}', f'{bound.limit:.{digits}f}',
                      'holds' if bound.holds else '[red]DOES NOT HOLD[/]')
    if shown.row_count:
        console.print(shown)


def _cell(found: Found, column: Column, metric: Optional[str]) -> str:
    if metric is None or column.run not in found:
        return '-'
    return cell(found[column.run], metric, column.digits)


def draw(results: Dict[str, Found], path: Path) -> None:
    """The paper's Figure 3: the downstream tasks against each other, a point per encoder.

    Above with the whole model trained, below with the encoder frozen.
    """
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    by_title = {column.title: column for column in COLUMNS}
    panels = [[('SP mIoU', 'VR, sounds'), ('SP mIoU', 'S3R error'), ('VR, sounds', 'S3R error')],
              [('SP mAP, frozen', 'VR, videos'), ('SP mAP, frozen', 'S3R error, frozen'),
               ('VR, videos', 'S3R error, frozen')]]
    figure, axes = plt.subplots(2, 3, figsize=(15, 8.5), dpi=120, layout='constrained')
    handles = {}
    for pair, axis in zip(sum(panels, []), axes.flat):
        for i, (key, found) in enumerate(results.items()):
            columns = [by_title[title] for title in pair]
            if any(column.run not in found for column in columns):
                continue
            x, y = (spread(found[c.run], c.metric)[0] for c in columns)
            handles[key], = axis.plot(x, y, 'osD^vP*Xh<>d'[i % 12], ms=9, color=f'C{i % 10}',
                                      label=ROWS[key].title)
        axis.set(xlabel=pair[0], ylabel=pair[1])
        if 'error' in pair[1]:
            axis.invert_yaxis()  # the better the higher
        axis.margins(.12)
        axis.grid(alpha=.3)
    figure.suptitle('What one sound encoder is worth: right and up is better')
    figure.legend(handles=list(handles.values()), loc='outside lower center', ncols=6, fontsize=8)
    figure.savefig(path)
    plt.close(figure)
