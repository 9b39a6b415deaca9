"""The main job in small, end to end: ``make demo``.

Writes the demo data, pretrains MoCo v2 -> DenseCL incrementally, evaluates random initialisation,
stage 1 alone and the incremental model with the VOC07 SVM protocol and with Mask R-CNN, and prints
a table and a picture of the trade-off (the paper's Figure 1b). Every step is a command of this
project, printed as one would type it. What is finished is not done again: remove the folder of the
run to start over.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Dict, List

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.steps import ROOT, Steps

sys.path.insert(0, str(ROOT / 'tools'))
from reproduce import COLUMNS, DEMO, demo_data, draw, evaluate  # noqa: E402

PRETRAIN = 'configs/demo/il_mocov2_densecl.py'
console = Console()


def show(rows: Dict[str, dict], out: Path) -> None:
    """Prints the table; also writes it as JSON."""
    table = Table('backbone', *[c.removeprefix('mask ') if c != 'mask AP' else c for c in COLUMNS],
                  title='Downstream results on simulated street scenes (%)')
    for name, row in rows.items():
        table.add_row(name, *[f'{row[key]:.1f}' for key in COLUMNS.values()])
    console.print(table)
    (out / 'table.json').write_text(json.dumps(rows, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='work_dirs/demo', help='folder of the run')
    args = parser.parse_args()
    out = ROOT / args.out
    cfg = Config.fromfile(ROOT / PRETRAIN)
    epochs: List[int] = list(cfg.default_hooks.stage.epochs)
    pretrain = Path(args.out) / 'il_mocov2_densecl'
    stage1, final = pretrain / 'stage1_mocov2.pth', pretrain / f'epoch_{sum(epochs)}.pth'

    steps = Steps(out / 'logs', total=8, console=console)
    demo_data(steps)
    steps.run(f'pretraining: {epochs[0]} epochs of MoCo v2, then {epochs[1]} of DenseCL that keep '
              'the old responses', 'pretrain', 'tools/train.py', PRETRAIN, '--work-dir',
              str(pretrain), '--resume', done=ROOT / final)
    rows = {
        title: evaluate(steps, Path(args.out), name, title, checkpoint, PRETRAIN, DEMO)
        for title, name, checkpoint in (
            ('random', 'random', None), ('MoCo v2 (stage 1)', 'mocov2', str(stage1)),
            ('IL M -> D', 'il', str(final)))
    }
    show(rows, out)
    picture = out / 'trade_off.png'
    draw({name: {'seed0': row} for name, row in rows.items()}, picture)
    console.print(f'picture      {picture.relative_to(ROOT)}\ncheckpoints  {pretrain}\n'
                  f'logs         {steps.logs.relative_to(ROOT)}\n'
                  f'{steps.minutes:.1f} minutes. One seed, pictures of 160 px: '
                  'see what the code does, not what the method is worth.\n'
                  'The real thing, on 8 GPUs with ImageNet in data/imagenet:\n'
                  '    tools/dist_train.sh configs/il_mocov2_densecl.py 8',
                  highlight=False, soft_wrap=True)


if __name__ == '__main__':
    run_tool(main)
