"""The main job in small, end to end: ``make demo``.

Writes the demo data, pretrains MoCo v2 -> DenseCL incrementally, evaluates random initialisation,
stage 1 alone and the incremental model with the VOC07 SVM protocol and with Mask R-CNN, and prints
a table and a picture of the trade-off (the paper's Figure 1b). Every step is a command of this
project, printed as one would type it. What is finished is not done again: remove the folder of the
run to start over.
"""
import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from multissl_mm.errors import MultiSSLError  # noqa: E402
from multissl_mm.utils.cli import run_tool  # noqa: E402

PRETRAIN = 'configs/demo/il_mocov2_densecl.py'
DETECT = 'configs/demo/mask-rcnn_r18_fpn_coco.py'
DATA = ['--imagenet', '2500', '--voc', '1000', '--coco-train', '400', '--coco-val', '100']
COLUMNS = {
    'SVM mAP': 'svm', 'box AP': 'bbox_mAP', 'AP50': 'bbox_mAP_50', 'AP75': 'bbox_mAP_75',
    'mask AP': 'segm_mAP', 'mask AP50': 'segm_mAP_50', 'mask AP75': 'segm_mAP_75',
}
console = Console()


class Steps:
    """Runs commands one after the other and says where one is.

    Args:
        logs (Path): Folder for what the commands print.
        total (int): Number of steps.
    """

    def __init__(self, logs: Path, total: int) -> None:
        self.logs, self.total, self.number = logs, total, 0
        self.start = time.time()
        logs.mkdir(parents=True, exist_ok=True)

    def run(self, title: str, log: str, *command: str, done: Optional[Path] = None) -> None:
        """Runs ``python COMMAND``, a sign of life every 10 s; does nothing where ``done`` exists.

        Raises:
            MultiSSLError: If the command fails; with the end of what it printed.
        """
        self.number += 1
        head = f'[{self.number}/{self.total}] {title}'
        if done is not None and done.exists():
            console.print(f'{head}: done before ({done})', highlight=False)
            return
        console.print(f'[bold]{head}', highlight=False)
        console.print(f'      python {shlex.join(command)}', style='dim', soft_wrap=True,
                      highlight=False)
        path, begin, shown = self.logs / f'{log}.log', time.time(), time.time()
        with open(path, 'w') as out:
            process = subprocess.Popen([sys.executable, *command], cwd=ROOT, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for line in process.stdout:
                out.write(line)
                sign = sign_of_life(line)
                if sign and (time.time() - shown > 10 or sign.startswith('stage')):
                    shown = time.time()
                    console.print(f'      {shown - begin:4.0f} s  {sign}', highlight=False,
                                  soft_wrap=True)
        if process.wait():
            tail = path.read_text().splitlines()[-8:]
            raise MultiSSLError(f'step {self.number} failed; all it printed is in {path}\n' +
                                '\n'.join(tail))
        console.print(f'      finished in {time.time() - begin:.0f} s, '
                      f'{(time.time() - self.start) / 60:.1f} min since the start',
                      highlight=False)


def sign_of_life(line: str) -> Optional[str]:
    """What a line of a log says about progress, in short."""
    found = re.search(r'Epoch\((\w+)\)\s+(?:\[(\d+)\])?\[\s*(\d+)/(\d+)\](?:.*?eta: (\S+))?', line)
    if found:
        what, epoch, step, steps, eta = found.groups()
        losses = re.findall(r'  ([\w.]*loss[\w.]*): ([\d.]+)', line)
        # Of the tasks where there are any: the sum says less.
        losses = [loss for loss in losses if '.' in loss[0]] or losses[:1]
        return (f'{what}{" epoch " + epoch if epoch else ""} step {step}/{steps}, eta {eta}  ' +
                '  '.join(f'{name} {value}' for name, value in losses))
    found = re.search(r'INFO - (stage .*|recording .*)', line)
    if found:
        return found.group(1)
    found = re.search(r'\d+\s*%', line)  # a bar of rich
    return ' '.join(re.sub('[━╸╺]', '', line.split('\r')[-1]).split()) if found else None


def coco_metrics(work_dir: Path) -> Dict[str, float]:
    """The last COCO metrics that a run of ``tools/train.py`` wrote, in percent."""
    found: Dict[str, float] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if 'coco/bbox_mAP' in entry:
                found = {k[5:]: 100 * v for k, v in entry.items() if k.startswith('coco/')}
    if not found:
        raise MultiSSLError(f'{work_dir} has no COCO metrics; remove that folder and run again')
    return found


def evaluate(steps: Steps, out: Path, name: str, title: str, checkpoint: Optional[Path]) -> dict:
    """SVM and Mask R-CNN of one backbone; None is random initialisation."""
    svm = out / f'svm_{name}.json'
    steps.run(f'{title}: VOC07 SVM', f'svm_{name}', 'tools/benchmarks/voc07_svm.py', PRETRAIN,
              str(checkpoint or 'random'), '--data-root', 'data/demo/VOCdevkit/VOC2007',
              '--image-size', '96', '--out', str(svm), done=svm)
    work_dir = out / f'mask_rcnn_{name}'
    init = f'model.backbone.init_cfg.checkpoint={checkpoint}' if checkpoint else \
        'model.backbone.init_cfg=None'
    done = work_dir / 'finished.json'
    steps.run(f'{title}: Mask R-CNN', f'mask_rcnn_{name}', 'tools/train.py', DETECT, '--work-dir',
              str(work_dir), '--cfg-options', init, done=done)
    if not done.exists():
        done.write_text(json.dumps(coco_metrics(work_dir)))
    row = json.loads(done.read_text())
    return dict(row, svm=json.loads(svm.read_text())['mAP'])


def draw(rows: Dict[str, dict], path: Path) -> None:
    """Classification against detection, as in the paper's Figure 1b."""
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots(figsize=(6, 4.5), dpi=150)
    for (name, row), color in zip(rows.items(), ('0.5', 'tab:green', 'tab:blue')):
        axis.scatter(row['svm'], row['bbox_mAP'], s=90, color=color)
        axis.annotate(name, (row['svm'], row['bbox_mAP']), xytext=(7, 7),
                      textcoords='offset points')
    axis.margins(0.25)
    axis.set(xlabel='VOC07-format classification, SVM mAP (%)',
             ylabel='COCO-format detection, box AP (%)',
             title='What one backbone is worth, on the demo\'s street scenes')
    axis.text(.99, .02, 'one seed: a difference of a point or two is noise', ha='right',
              transform=axis.transAxes, fontsize=8, color='0.4')
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


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

    steps = Steps(out / 'logs', total=8)
    steps.run('street scenes in ImageNet, VOC2007 and COCO layouts', 'data', '-m',
              'multissl_mm.simulation', 'data/demo', '--seed', '0', *DATA)
    steps.run(f'pretraining: {epochs[0]} epochs of MoCo v2, then {epochs[1]} of DenseCL that keep '
              'the old responses', 'pretrain', 'tools/train.py', PRETRAIN, '--work-dir',
              str(pretrain), '--resume', done=ROOT / final)
    rows = {
        'random': evaluate(steps, Path(args.out), 'random', 'random initialisation', None),
        'MoCo v2 (stage 1)': evaluate(steps, Path(args.out), 'mocov2', 'MoCo v2', stage1),
        'IL M -> D': evaluate(steps, Path(args.out), 'il', 'IL M -> D', final),
    }
    show(rows, out)
    picture = out / 'trade_off.png'
    draw(rows, picture)
    console.print(f'picture      {picture.relative_to(ROOT)}\ncheckpoints  {pretrain}\n'
                  f'logs         {steps.logs.relative_to(ROOT)}\n'
                  f'{(time.time() - steps.start) / 60:.1f} minutes. One seed, pictures of 160 px: '
                  'see what the code does, not what the method is worth.\n'
                  'The real thing, on 8 GPUs with ImageNet in data/imagenet:\n'
                  '    tools/dist_train.sh configs/il_mocov2_densecl.py 8',
                  highlight=False, soft_wrap=True)


if __name__ == '__main__':
    run_tool(main)
