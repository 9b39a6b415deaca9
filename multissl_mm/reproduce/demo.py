"""The main job in small, end to end."""
from pathlib import Path
from typing import Dict, Optional

from rich.console import Console

from .data import picture_data
from .pictures import COLUMNS, TABLE4, PictureRun
from .results import Found, PaperTable
from .rows import Row
from .steps import Steps

IL = 'il_mocov2_densecl'
#: What ``make demo`` shows: the trade-off of the paper's Figure 1b.
TRADE_OFF = PaperTable(
    'trade_off', 'Downstream results on simulated street scenes (%)', {
        'random': Row('random', backbone=IL),
        'stage1': Row('MoCo v2 (stage 1)', backbone=IL),
        IL: Row('IL M -> D', IL),
    }, COLUMNS, TABLE4.panels, TABLE4.figure)


def run_demo(out: Path = Path('work_dirs/demo'), console: Optional[Console] = None
             ) -> Dict[str, Found]:
    """Pretrains MoCo v2 -> DenseCL at demo size and evaluates it, in under 15 minutes on two cores.

    Every step is a command of this project, run in the current directory and printed as one would
    type it. What is finished is not done again: remove ``out`` to start over.

    Args:
        out (Path): Folder of the run.
        console (Console, optional): Where progress and the table are printed.

    Returns:
        dict: Of random weights, of stage 1 and of the whole, evaluation: seed: metrics.
    """
    steps = Steps(out / 'logs', total=8, console=console)
    picture_data(steps)
    run = PictureRun(TRADE_OFF.rows, out, steps)
    final = Path(run.checkpoint(IL) or '')
    run.given.update({IL: str(final), 'stage1': str(final.with_name('stage1_mocov2.pth'))})
    for key in TRADE_OFF.rows:
        run.evaluate(key)
    found = TRADE_OFF.show(out, steps.console)
    steps.console.print(
        f'picture      {out / "trade_off.png"}\ncheckpoints  {final.parent}\n'
        f'logs         {steps.logs}\n{steps.minutes:.1f} minutes. One seed, pictures of 160 px: '
        'see what the code does, not what the method is worth.\n'
        'The real thing, on 8 GPUs with ImageNet in data/imagenet:\n'
        '    tools/dist_train.sh configs/il_mocov2_densecl.py 8', highlight=False, soft_wrap=True)
    return found
