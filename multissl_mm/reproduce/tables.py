"""The paper's tables and figures, each behind one call."""
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

from rich.console import Console

from ..errors import MultiSSLError
from .bounds import BOUNDS, Bound, show_bounds
from .data import picture_data, second_head_data, sound_data, sound_validation, validation_data
from .pictures import AFFINITY_PICTURES, EVALUATIONS, FIGURE1B, TABLE4, PictureRun
from .plan import Plan
from .report import subject_of, write_report
from .results import Found, PaperTable
from .row import Row
from .rows import TableRun
from .scales import SCALES, Scale
from .second_head import SECOND_HEAD, TESTED, SecondHeadRun
from .sound import (
    AFFINITY_SOUND,
    DOWNSTREAM,
    FIGURE3,
    GIVEN,
    GIVEN_AT,
    ROWS,
    TABLE2A,
    TABLE2B,
    TABLE3,
    SoundRun,
)
from .sound_study import SOUND_STUDY, SOUND_STUDY_RUNS, SoundStudyRun
from .steps import Steps
from .store import Store
from .study import STUDY, STUDY_RUNS, StudyRun
from .submit import print_collecting, print_jobs

_PAPER = (TABLE2A, TABLE2B, TABLE3, TABLE4, FIGURE1B, FIGURE3, AFFINITY_PICTURES, AFFINITY_SOUND)
#: Tables in folders of their own.
_OWN = (STUDY, SOUND_STUDY, SECOND_HEAD)
TABLES: Dict[str, PaperTable] = {table.name: table for table in (*_PAPER, *_OWN)}
#: Rows of weights that others have trained.
OTHERS = ('detco', *GIVEN)
#: What can be asked for: one or more tables.
TARGETS: Dict[str, Tuple[PaperTable, ...]] = {
    **{table.name: (table, ) for table in TABLES.values()},
    'sound': (TABLE2A, TABLE2B, TABLE3), 'affinity': (AFFINITY_PICTURES, AFFINITY_SOUND),
    'all': _PAPER}


class _Group(NamedTuple):
    """Tables whose results lie in one folder."""
    tables: Tuple[PaperTable, ...]
    kind: Type[TableRun]
    rows: Mapping[str, Row]
    runs: Sequence[str]
    out: Path


def reproduce_table(name: str, rows: Optional[Sequence[str]] = None,
                    downstream: Optional[Sequence[str]] = None, seeds: Sequence[int] = (0, ),
                    full: bool = False, gpus: int = 0, checkpoint: Optional[str] = None,
                    out: Optional[Path] = None, console: Optional[Console] = None, jobs: int = 1,
                    scale: Optional[str] = None, fresh: bool = False, report: bool = False,
                    printed: bool = False, scenes: str = 'streets') -> Dict[str, Found]:
    """Pretrains and evaluates rows of tables, prints them, and writes them and a report to ``out``.

    Every step is a command of this project, run in the current directory and printed as one would
    type it. What is there is not made again, whichever table it was made for: see
    :class:`~multissl_mm.reproduce.store.Store`. So what was interrupted goes on with the same call.

    Args:
        name (str): Of :data:`TARGETS`: a table or figure, ``sound`` (Tables 2a, 2b and 3),
            ``affinity``, ``study`` and ``study_sound`` (ways of keeping what was learned),
            ``second_head``, or ``all`` of the paper.
        rows (sequence[str], optional): Keys of the tables' rows. Defaults to those of the paper
            and its controls; of Table 4 but DetCo, of Table 3 but the methods that it leaves out.
        downstream (sequence[str], optional): Of sound only these of ``sp``, ``vr`` and ``s3r``; of
            pictures of ``svm``, ``segmentation`` and ``mask_rcnn``. ``none``: pretrain only.
        seeds (sequence[int]): One run of every row each.
        full (bool): The same as the scale ``paper``.
        gpus (int): Train on so many; 0 without a launcher.
        checkpoint (str, optional): Of the row ``detco``, or of the sound row ``audioset`` (or
            ``supervised``). Where :data:`~multissl_mm.reproduce.sound.GIVEN_AT` has one, its row is
            in tables of sound by default.
        out (Path, optional): Defaults to ``work_dirs/table4_<scale>``, ``study_<scale>`` or
            ``tables_sound_<scale>``. What is trained lies beside it, in ``runs/``.
        console (Console, optional): Where progress and the tables are printed.
        jobs (int): How many commands run at once, each with its share of the cores; with several
            GPUs each on one of them.
        scale (str, optional): Of :data:`~multissl_mm.reproduce.scales.SCALES`. Defaults to
            ``demo``.
        fresh (bool): Make anew what other code than this has made. Defaults to False.
        report (bool): Run nothing: tables and report of what is in ``out``. Defaults to False.
        printed (bool): Run nothing but the data's simulation: print jobs for Slurm. Defaults to
            False.
        scenes (str): ``streets``, or ``products``: tables of pictures on real products of
            Fashion-MNIST, see :mod:`multissl_mm.simulation.products`. Defaults to ``streets``.

    Returns:
        dict: Of every row that is there, evaluation: seed: metrics.

    Raises:
        MultiSSLError: If there is no such table, row or downstream task, a checkpoint is missing,
            or a step fails.
    """
    if name not in TARGETS:
        raise MultiSSLError(f'there is no {name}; tables are {", ".join(TARGETS)}')
    if full and scale not in (None, 'paper'):
        raise MultiSSLError(f'--full is --scale paper, but --scale is {scale}')
    size = SCALES['paper' if full else scale or 'demo']
    if scenes == 'products':
        size = _of_products(size, TARGETS[name], there=report)
    groups = _groups(TARGETS[name], size, out)
    every = [key for group in groups for table in group.tables for key in table.rows]
    runs = [run for group in groups for run in group.runs]
    _refuse(rows or (), every, f'{name} has no row')
    _refuse(downstream or (), [*runs, 'none'], f'{name} has no downstream task')
    given: Dict[str, Optional[str]] = {
        key: path for key, path in GIVEN_AT.items() if Path(path).is_file()}
    others = next((row for row in rows or () if row in OTHERS), None)
    if others and not checkpoint and others not in given:
        raise MultiSSLError(f'the row {others} evaluates weights that others have trained: name '
                            'them with --checkpoint')
    if checkpoint and len(groups) > 1:
        raise MultiSSLError(f'--checkpoint is of one row, and {name} is of pictures and of sound: '
                            'reproduce them one after the other')
    given_row = {_receiver(rows, every): checkpoint} if checkpoint else {}
    given.update(given_row)
    # Of pictures and sound, those of which there is anything to do.
    worked = [] if report else [
        group for group in groups if (not rows or {*rows} & {*group.rows}) and (
            not downstream or {*downstream} & {*group.runs, 'none'})]
    console = console or Console()
    plans: List[Tuple[Plan, Steps]] = []
    for group in worked:
        # What is printed can be run as it is.
        steps = Steps(group.out / 'logs', jobs=jobs, gpus=max(1, gpus), console=Console(
            stderr=True, quiet=console.quiet) if printed else console)
        _data(group, steps, size)
        asked = [key for key in rows or _default(group.tables, given) if key in group.rows]
        for key in () if rows or checkpoint else sorted({*GIVEN_AT} - {*given}):
            if any(key in table.rows for table in group.tables):
                steps.console.print(f'without the row {key}: {GIVEN_AT[key]} is not there; '
                                    'docs/evidence.md says how it is made', style='yellow',
                                    highlight=False, soft_wrap=True)
        store = Store(group.out.parent / 'runs')
        anyway = [(key, seed) for seed in seeds for key in asked]
        made = [group.kind(group.rows, group.out, steps, seed, size, gpus, given, anyway, store)
                for seed in seeds]
        if printed:
            # Those that its encoders are made of may be rows of other tables.
            like = [table for table in TABLES.values()
                    if subject_of(table) == subject_of(group.tables[0])]
            its = [run for run in downstream or () if run in (*group.runs, 'none')]
            print_jobs(console, [*group.tables, *like], made, asked, dict(
                scale=size.name, scenes=scenes if size.products else '', downstream=its,
                gpus=gpus, out=out and group.out, fresh=fresh), given_row)
            continue
        plan = Plan(store, fresh)
        wanted = [run for run in downstream or group.runs if run in group.runs]
        for run in made:
            for key in asked:
                run.add(plan, key, wanted)
        plans.append((plan, steps))
    if printed:
        print_collecting(console, name, dict(
            scale=size.name, scenes=scenes if size.products else '', out=out))
        return {}
    for plan, steps in plans:
        console.print(f'{len(plan.due())} of {len(plan.steps)} steps have to be made',
                      highlight=False)
        plan.carry_out(steps)
        old = plan.others()
        if old:
            console.print(f'{len(old)} steps were made by another state of the code; --fresh '
                          'makes them anew', style='yellow', highlight=False)
    return _show(name, groups, size, console)


def _show(name: str, groups: Sequence[_Group], scale: Scale, console: Console) -> Dict[str, Found]:
    """Tables, bounds and report of what is there."""
    found: Dict[str, Found] = {}
    bounds: Dict[str, List[Bound]] = {}
    for group in groups:
        for table in group.tables:
            found.update(table.show(group.out, console))
            if table.name in BOUNDS and scale == SCALES['demo']:
                bounds[table.name] = BOUNDS[table.name](group.out)
                show_bounds(bounds[table.name], console)
    outs = list(dict.fromkeys(group.out for group in groups))
    path = outs[0] / f'{name}.html' if len(outs) == 1 else \
        outs[0].parent / f'{name}_{_named(scale)}.html'
    write_report([(table, group.out) for group in groups for table in group.tables], path,
                 f'{name}, {scale.name} scale', _said(scale), bounds)
    console.print(f'results  {", ".join(map(str, outs))}\nreport   {path}', highlight=False,
                  markup=False, soft_wrap=True)
    return found


#: What a report says of its scale.
_SAID = dict(
    smoke='Tiny data and a few steps: these numbers say that everything runs, and nothing else.',
    demo='Simulated streets, small networks, short runs: what differs here need not differ on real '
    'data at full size, and the other way round.',
    study='Simulated streets, small networks, twice the pictures, scenes and epochs of the demo: '
    'what differs here need not differ on real data at full size, and the other way round.',
    paper='Data, networks and lengths of the paper, with the settings that it leaves open as this '
    'project chose them.')


def _said(scale: Scale) -> str:
    said = _SAID[scale.name]
    return 'Photographs of products (Fashion-MNIST, 28 px) on textured grounds. ' + said.replace(
        'Simulated streets, s', 'S') if scale.products else said


def _named(scale: Scale) -> str:
    size = 'full' if scale.full else scale.name
    return f'products_{size}' if scale.products else size


def _of_products(scale: Scale, tables: Sequence[PaperTable], there: bool) -> Scale:
    others = [table.name for table in tables
              if subject_of(table) != 'pictures']
    if others or scale.full:
        what = ', '.join(others) or f'the scale {scale.name}'
        raise MultiSSLError(f'--scenes products is for tables of pictures that are made here: not '
                            f'for {what}')
    size = scale.of_products()
    if not there and not Path(size.products).is_dir():
        raise MultiSSLError(f'{size.products}: no such folder; tools/evidence/fetch.sh products '
                            'fetches the data set')
    return size


def _groups(tables: Sequence[PaperTable], scale: Scale, out: Optional[Path]) -> List[_Group]:
    size = _named(scale)
    kinds = {'study': (StudyRun, STUDY.rows, STUDY_RUNS, f'study_{size}'),
             'study_sound': (SoundStudyRun, SOUND_STUDY.rows, SOUND_STUDY_RUNS,
                             f'study_sound_{size}'),
             'second_head': (SecondHeadRun, ROWS, TESTED, f'second_head_{size}'),
             'pictures': (PictureRun, TABLE4.rows, EVALUATIONS, f'table4_{size}'),
             'sound': (SoundRun, ROWS, DOWNSTREAM, f'tables_sound_{size}')}
    groups = []
    names = [subject_of(table) for table in tables]
    for name in dict.fromkeys(names):
        kind, rows, runs, folder = kinds[name]
        where = Path('work_dirs') / folder if out is None else \
            out if len(set(names)) == 1 else out / name
        groups.append(_Group(tuple(table for table, its in zip(tables, names) if its == name),
                             kind, rows, runs, where))
    return groups


def _data(group: _Group, steps: Steps, scale: Scale) -> None:
    if scale.full:
        if group.kind is SecondHeadRun:
            raise MultiSSLError('second_head is of simulated scenes: not for the scale paper')
        return
    if issubclass(group.kind, SoundRun):
        if group.kind is SecondHeadRun:  # first: it may not have been fetched
            second_head_data(steps, scale)
        sound_data(steps, scale.data / 'omniaudio', scale=scale)
        if group.kind is SoundStudyRun:
            sound_data(steps, sound_validation(scale), '--seed', '1', scale=scale)
        return
    picture_data(steps, scale)
    if group.kind is StudyRun:
        validation_data(steps, scale)


def _default(tables: Sequence[PaperTable], given: Iterable[str]) -> List[str]:
    """Rows of tables, and those of theirs whose weights are there."""
    every = {key for table in tables for key in table.rows}
    return list(dict.fromkeys([*(key for table in tables for key in table.default_rows),
                               *(key for key in given if key in every)]))


def _receiver(rows: Optional[Sequence[str]], every: Sequence[str]) -> str:
    """The row that a checkpoint is of: one that is asked for, or the table's of others' weights."""
    takers = [*OTHERS, 'supervised'] if rows else OTHERS
    found = next((row for row in takers if row in (rows or every)), None)
    if found is None:
        raise MultiSSLError('--checkpoint: name the row that it is of with --rows, one of '
                            f'{", ".join((*OTHERS, "supervised"))}' if not rows else
                            f'--checkpoint is of none of the rows {", ".join(rows)}; it may be of '
                            f'{", ".join((*OTHERS, "supervised"))}')
    return found


def _refuse(asked: Iterable[str], known: Iterable[str], what: str) -> None:
    known = list(dict.fromkeys(known))
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise MultiSSLError(f'{what} {", ".join(unknown)}; it has {", ".join(known)}')
