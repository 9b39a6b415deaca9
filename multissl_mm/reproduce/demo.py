"""The main job in small, end to end."""
from pathlib import Path
from typing import Dict, Optional

from rich.console import Console

from ..engine.hooks.checkpoint import FINAL
from ..utils.project import project_file
from .data import picture_data
from .pictures import COLUMNS, TABLE4, PictureRun
from .results import Found, PaperTable
from .rows import Row
from .steps import Steps

#: What ``make demo`` shows: the trade-off of the paper's Figure 1b.
TRADE_OFF = PaperTable(
    'trade_off', 'Downstream results on simulated street scenes (%)', {
        'random': Row('random', backbone='il_mocov2_densecl'),
        'stage1': Row('MoCo v2 (stage 1)', backbone='il_mocov2_densecl'),
        'il': Row('IL M -> D', backbone='il_mocov2_densecl'),
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
    steps = Steps(out / 'logs', total=11, console=console)
    picture_data(steps)
    pretrained = out / 'il_mocov2_densecl'
    stage1, final = pretrained / 'stage1_mocov2.pth', pretrained / FINAL
    steps.run('pretraining: MoCo v2, then DenseCL that keeps the old responses', 'pretrain',
              project_file('tools/train.py'), project_file('configs/demo/il_mocov2_densecl.py'),
              '--work-dir', str(pretrained), '--resume', done=final)
    run = PictureRun(TRADE_OFF.rows, out, steps, given=dict(stage1=str(stage1), il=str(final)))
    for key in TRADE_OFF.rows:
        run.evaluate(key)
    found = TRADE_OFF.show(out, steps.console)
    steps.console.print(
        f'picture      {out / "trade_off.png"}\ncheckpoints  {pretrained}\n'
        f'logs         {steps.logs}\n{steps.minutes:.1f} minutes. One seed, pictures of 160 px: '
        'see what the code does, not what the method is worth.\n'
        'The real thing, on 8 GPUs with ImageNet in data/imagenet:\n'
        '    tools/dist_train.sh configs/il_mocov2_densecl.py 8', highlight=False, soft_wrap=True)
    return found
