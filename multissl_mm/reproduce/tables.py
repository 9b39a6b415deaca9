"""The numbers of the paper's tables, each behind one call."""
from functools import partial
from pathlib import Path
from typing import Dict, Iterable, Optional, Sequence

from rich.console import Console

from ..errors import MultiSSLError
from .bounds import show_bounds
from .data import VALIDATION, picture_data, sound_data, validation_data
from .pictures import EVALUATIONS, TABLE4, PictureRun
from .results import Found, PaperTable
from .sound import DOWNSTREAM, GIVEN, ROWS, TABLE2A, TABLE2B, TABLE3, SoundRun
from .sound_study import SOUND_STUDY, SOUND_STUDY_RUNS, SoundStudyRun
from .steps import Steps
from .study import STUDY, STUDY_RUNS, StudyRun

TABLES: Dict[str, PaperTable] = {t.name: t for t in (TABLE2A, TABLE2B, TABLE3, TABLE4, STUDY,
                                                     SOUND_STUDY)}
#: Rows of weights that others have trained.
OTHERS = ('detco', *GIVEN)
_PICTURES = {TABLE4.name: (PictureRun, EVALUATIONS), STUDY.name: (StudyRun, STUDY_RUNS)}
_SOUNDS = {SOUND_STUDY.name: (SoundStudyRun, SOUND_STUDY_RUNS)}


def reproduce_table(name: str, rows: Optional[Sequence[str]] = None,
                    downstream: Optional[Sequence[str]] = None, seeds: Sequence[int] = (0, ),
                    full: bool = False, gpus: int = 0, checkpoint: Optional[str] = None,
                    out: Optional[Path] = None, console: Optional[Console] = None,
                    jobs: int = 1) -> Dict[str, Found]:
    """Pretrains and evaluates rows of a table, prints it, and writes it to ``out``.

    Every step is a command of this project, run in the current directory and printed as one would
    type it. What is finished is not done again: remove the folder of a run to start over.

    Args:
        name (str): ``table2a``, ``table2b``, ``table3``, ``table4``, or ``study`` and
            ``study_sound``, ways of keeping what was learned.
        rows (sequence[str], optional): Keys of :data:`TABLES` ``[name].rows``. Defaults to those
            of the paper; of Table 4 but DetCo, of Table 3 but the methods that it leaves out.
        downstream (sequence[str], optional): Of Tables 2 and 3 only these of ``sp``, ``vr`` and
            ``s3r``; of Table 4 of ``svm``, ``segmentation`` and ``mask_rcnn``.
        seeds (sequence[int]): One run of every row each.
        full (bool): On ImageNet, VOC2007 and COCO, or OmniAudio, in ``data/`` instead of the demo.
        gpus (int): Train on so many; 0 without a launcher.
        checkpoint (str, optional): Of the row ``detco``, or of the sound row ``audioset`` (or
            ``supervised``).
        out (Path, optional): Defaults to ``work_dirs/table4_<demo or full>`` or
            ``work_dirs/tables_sound_<demo or full>``.
        console (Console, optional): Where progress and the table are printed.
        jobs (int): How many commands run at once, each with its share of the cores.

    Returns:
        dict: Of every row that is there, evaluation: seed: metrics.

    Raises:
        MultiSSLError: If there is no such table, row or downstream task, a checkpoint is missing,
            or a step fails.
    """
    if name not in TABLES:
        raise MultiSSLError(f'there is no {name}; tables are {", ".join(TABLES)}')
    table, pictures = TABLES[name], name in _PICTURES
    kind, runs = {**_PICTURES, **_SOUNDS}.get(name, (SoundRun, DOWNSTREAM))
    rows = rows or table.default_rows
    _refuse(rows, table.rows, f'{name} has no row')
    _refuse(downstream or (), runs, f'{name} has no downstream task')
    others = next((row for row in rows if row in OTHERS), None)
    if others and not checkpoint:
        raise MultiSSLError(f'the row {others} evaluates weights that others have trained: name '
                            'them with --checkpoint')
    size = 'full' if full else 'demo'
    own = pictures or name in _SOUNDS  # Tables 2 and 3 share their runs
    out = out or Path('work_dirs') / f'{name if own else "tables_sound"}_{size}'
    steps = Steps(out / 'logs', console=console, jobs=jobs)
    if not full:
        (picture_data if pictures else sound_data)(steps)
    if table is STUDY:
        validation_data(steps)
    if table is SOUND_STUDY:
        sound_data(steps, VALIDATION, '--seed', '1')
    given = {others or ('detco' if pictures else 'supervised'): checkpoint}
    runs_by_seed = [kind(table.rows if own else ROWS, out, steps, seed, full, gpus, given)
                    for seed in seeds]
    steps.together([partial(run.evaluate, key, downstream or runs)
                    for run in runs_by_seed for key in rows])
    found = table.show(out, steps.console)
    if table is TABLE2A:
        show_bounds(out, steps.console)
    steps.console.print(f'{steps.minutes:.1f} minutes. Results in {out}', highlight=False,
                        markup=False)
    return found


def _refuse(asked: Iterable[str], known: Iterable[str], what: str) -> None:
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise MultiSSLError(f'{what} {", ".join(unknown)}; it has {", ".join(known)}')
