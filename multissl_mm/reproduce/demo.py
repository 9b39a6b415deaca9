"""The main job in small, end to end."""
from pathlib import Path
from typing import Dict, Optional

from rich.console import Console

from ..utils.pool import cores
from .bounds import picture_bounds, show_bounds
from .data import picture_data
from .pictures import COLUMNS, EVALUATIONS, TABLE4, PictureRun
from .plan import Plan
from .results import Found, PaperTable
from .steps import Steps

IL = 'il_mocov2_densecl'
#: What ``make demo`` shows: the trade-off of the paper's Figure 1b.
TRADE_OFF = PaperTable(
    'trade_off', 'Downstream results on simulated street scenes (%)', {
        'random': TABLE4.rows['random'],
        'mocov2': TABLE4.rows['mocov2']._replace(
            pretrain=None, backbone=IL, within=(IL, 'stage1_mocov2.pth')),
        'densecl': TABLE4.rows['densecl'],
        'mtl_long': TABLE4.rows['mtl_long'],
        IL: TABLE4.rows[IL],
    }, COLUMNS, TABLE4.panels, TABLE4.figure)
#: Mask R-CNN takes minutes.
DETECTED = 'random', IL


def run_demo(out: Path = Path('work_dirs/demo'), console: Optional[Console] = None, seed: int = 0,
             jobs: Optional[int] = None) -> Dict[str, Found]:
    """Pretrains M, D, both at once and one after the other, and evaluates what they are worth.

    About 10 minutes on two cores. Every step is a command of this project, run in the
    current directory and printed as one would type it. What is finished is not done again: remove
    ``out``, and ``runs`` beside it, to start over.

    Args:
        out (Path): Folder of the run.
        console (Console, optional): Where progress and the table are printed.
        seed (int): Of everything but the data. The table is over all seeds in ``out``.
        jobs (int, optional): How many commands run at once. Defaults to 2 where there are two
            cores: as many processes of one thread do more than one process of as many.

    Returns:
        dict: Of every row, evaluation: seed: metrics.
    """
    steps = Steps(out / 'logs', console=console, jobs=jobs or min(2, cores()))
    picture_data(steps)
    run = PictureRun(TRADE_OFF.rows, out, steps, seed)
    plan = Plan(run.store)
    for key in (IL, 'mtl_long', 'random', 'densecl', 'mocov2'):  # the longest first
        run.add(plan, key, EVALUATIONS if key in DETECTED else EVALUATIONS[:-1])
    plan.carry_out(steps)
    found = TRADE_OFF.show(out, steps.console)
    show_bounds(picture_bounds(out), steps.console)
    steps.console.print(
        f'picture      {out / "trade_off.png"}\ncheckpoints  {run.out}\n'
        f'logs         {steps.logs}\n{steps.minutes:.1f} minutes. One seed says little about '
        'methods: docs/results has more.\n'
        'The real thing, on 8 GPUs with ImageNet in data/imagenet:\n'
        '    tools/dist_train.sh configs/il_mocov2_densecl.py 8', highlight=False, markup=False,
        soft_wrap=True)
    return found
