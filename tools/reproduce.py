"""The numbers of the paper's tables, each behind one command.

    python tools/reproduce.py table4 --rows il_mocov2_densecl           # demo size, two CPU cores
    python tools/reproduce.py table4 --seeds 0 1 2                      # all but DetCo
    python tools/reproduce.py table4 --rows mocov2 --full --gpus 8      # ImageNet, VOC2007, COCO
    python tools/reproduce.py table4 --rows detco --checkpoint DETCO.pth --full --gpus 8

A row is pretrained, then evaluated with the VOC07 SVM protocol and with Mask R-CNN. Every step is a
command of this project, printed as one would type it. What is finished is not done again: remove
the folder of the run to start over. At demo size the data are simulated street scenes, and the
numbers show what the code does, not what the method is worth on photographs.
"""
import argparse
import json
import statistics
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically
from multissl_mm.utils.steps import ROOT, Steps

#: Column of the table: key of the results.
COLUMNS = {
    'SVM mAP': 'svm', 'box AP': 'bbox_mAP', 'AP50': 'bbox_mAP_50', 'AP75': 'bbox_mAP_75',
    'mask AP': 'segm_mAP', 'mask AP50': 'segm_mAP_50', 'mask AP75': 'segm_mAP_75',
}
DEMO_DATA = ['--imagenet', '2500', '--voc', '1000', '--coco-train', '400', '--coco-val', '100']
console = Console()


class Row(NamedTuple):
    """One row of Table 4.

    Args:
        title (str): As in the paper where it is there.
        pretrain (str | None): Name of the config; None where there is nothing to train.
        parts (tuple[str]): Rows whose encoders it is made of, or learns from.
        backbone (str | None): Name of the config that has the backbone, where it is not pretrain's.
        detector (str): What comes after ``mask-rcnn_`` in the name of the COCO config.
        paper (tuple[float]): Its numbers in the order of ``COLUMNS``.
    """
    title: str
    pretrain: Optional[str] = None
    parts: Tuple[str, ...] = ()
    backbone: Optional[str] = None
    detector: str = '{resnet}'
    paper: Tuple[float, ...] = ()


TABLE4 = {
    'random': Row('Random init', backbone='mocov2'),
    'supervised': Row('Supervised', 'supervised',
                      paper=(84.12, 38.92, 59.55, 42.83, 35.40, 56.60, 38.14)),
    'detco': Row('DetCo', backbone='mocov2',
                 paper=(85.19, 40.21, 61.11, 43.84, 36.36, 58.12, 38.97)),
    'mocov2': Row('MoCo v2 (M)', 'mocov2',
                  paper=(84.32, 38.99, 59.78, 42.57, 35.64, 56.62, 38.02)),
    'densecl': Row('DenseCL (D)', 'densecl',
                   paper=(83.11, 40.26, 59.92, 44.35, 36.22, 57.61, 38.78)),
    'mtl_mocov2_densecl': Row('MTL (M+D)', 'mtl_mocov2_densecl',
                              paper=(85.82, 41.01, 60.96, 44.66, 36.41, 57.84, 39.15)),
    'concat_mocov2_densecl': Row('Concat (M+D)', parts=('mocov2', 'densecl'),
                                 backbone='concat_mocov2_densecl', detector='concat-{resnet}',
                                 paper=(85.54, 40.67, 60.59, 43.98, 36.61, 58.18, 39.20)),
    'il_mocov2_densecl': Row('IL (M+D)', 'il_mocov2_densecl',
                             paper=(86.38, 41.82, 62.02, 45.01, 37.21, 59.10, 39.93)),
    # Not in Table 4: the paper reports these for sound (Table 2b), or not at all.
    'il_densecl_mocov2': Row('IL (D+M)', 'il_densecl_mocov2'),
    'progressive_mocov2_densecl': Row('ProgressNet (M+D)', 'progressive_mocov2_densecl',
                                      detector='progressive-{resnet}'),
    'euclidean-dist_mocov2_densecl': Row('Euclidean dist (M+D)', 'euclidean-dist_mocov2_densecl',
                                         parts=('mocov2', 'densecl')),
    'contrastive-dist_mocov2_densecl': Row('Contrastive dist (M+D)',
                                           'contrastive-dist_mocov2_densecl',
                                           parts=('mocov2', 'densecl')),
}
DEFAULT_ROWS = [key for key, row in TABLE4.items() if row.paper and key != 'detco']


class Size(NamedTuple):
    """Where configs and data of a size are."""
    configs: str
    resnet: str
    detector: str
    voc: str
    image_size: int


DEMO = Size('configs/demo', 'r18', 'configs/demo/mask-rcnn_{}_fpn_coco.py',
            'data/demo/VOCdevkit/VOC2007', 96)
FULL = Size('configs', 'r50', 'configs/benchmarks/coco/mask-rcnn_{}_fpn_ms-1x_coco.py',
            'data/VOCdevkit/VOC2007', 224)


class Table4Run:
    """Pretrains and evaluates rows of Table 4 with one seed, below ``out/seed<k>``.

    Args:
        size (Size): ``DEMO`` or ``FULL``.
        out (Path): Folder of the table.
        seed (int): Of pretraining, SVM and detector.
        gpus (int): Where not 0, training is distributed over as many GPUs.
        given (str, optional): Checkpoint of the row that is only evaluated (DetCo).
        steps (Steps): That commands are run by.
    """

    def __init__(self, size: Size, out: Path, seed: int, steps: Steps, gpus: int = 0,
                 given: Optional[str] = None) -> None:
        self.size, self.out, self.seed, self.steps = size, out / f'seed{seed}', seed, steps
        self.gpus, self.given = gpus, given

    def run(self, key: str) -> Dict[str, float]:
        """Metrics of one row, in percent."""
        row = TABLE4[key]
        checkpoint = self.checkpoint(key)
        metrics = evaluate(
            self.steps, self.out, key, row.title, checkpoint,
            config=f'{self.size.configs}/{row.backbone or row.pretrain}.py',
            detector=self.size.detector.format(row.detector.format(resnet=self.size.resnet)),
            size=self.size, seed=self.seed, gpus=self.gpus)
        write_atomically(ROOT / self.out / f'{key}.json', json.dumps(metrics, indent=2))
        return metrics

    def checkpoint(self, key: str) -> Optional[str]:
        """The pretrained weights of a row, made if they are not there; None is random."""
        row = TABLE4[key]
        parts = [self.checkpoint(part) for part in row.parts]
        if row.pretrain is None:
            if parts:
                return self._concatenated(key, parts)
            return self.given if key == 'detco' else None
        experts = [f'model.experts.{k}.backbone.init_cfg.checkpoint={part}'
                   for k, part in enumerate(parts)]
        config = f'{self.size.configs}/{row.pretrain}.py'
        work_dir = self.out / key
        last = work_dir / f'epoch_{Config.fromfile(ROOT / config).train_cfg.max_epochs}.pth'
        self.steps.run(f'{row.title}, seed {self.seed}: pretraining', f'seed{self.seed}_{key}',
                       *train(config, self.gpus, self.size), '--work-dir', str(work_dir),
                       '--cfg-options', f'randomness.seed={self.seed}', *experts, done=ROOT / last)
        return str(last)

    def _concatenated(self, key: str, parts: Sequence[Optional[str]]) -> str:
        target = self.out / f'{key}.pth'
        self.steps.run(f'{TABLE4[key].title}, seed {self.seed}: one checkpoint of '
                       f'{len(parts)} encoders', f'seed{self.seed}_{key}',
                       'tools/model_converters/concat_backbones.py',
                       f'{self.size.configs}/{TABLE4[key].backbone}.py', str(target), *parts,
                       done=ROOT / target)
        return str(target)


def train(config: str, gpus: int, size: Size) -> List[str]:
    """The beginning of a training command; full-size rates are for 8 GPUs and scale."""
    start = ['tools/dist_train.sh', config, str(gpus)] if gpus else ['tools/train.py', config]
    return [*start, '--resume', *(['--auto-scale-lr'] if size is FULL else [])]


def evaluate(steps: Steps, out: Path, name: str, title: str, checkpoint: Optional[str],
             config: str, detector: str, size: Size, seed: int = 0, gpus: int = 0
             ) -> Dict[str, float]:
    """VOC07 SVM and Mask R-CNN of one backbone.

    Args:
        out (Path): Folder for the results, relative to the project's.
        name (str): Of this backbone's files in it.
        checkpoint (str | None): None is random initialisation.
        config (str): Has the backbone, for the SVM.
        detector (str): Config of the Mask R-CNN.

    Returns:
        dict[str, float]: Values of ``COLUMNS`` in percent.
    """
    svm, work_dir = out / f'svm_{name}.json', out / f'mask_rcnn_{name}'
    log = f'{out.name}_{{}}_{name}'
    steps.run(f'{title}, seed {seed}: VOC07 SVM', log.format('svm'),
              'tools/benchmarks/voc07_svm.py', config, checkpoint or 'random', '--data-root',
              size.voc, '--image-size', str(size.image_size), '--seed', str(seed), '--out',
              str(svm), done=ROOT / svm)
    init = f'model.backbone.init_cfg.checkpoint={checkpoint}' if checkpoint else \
        'model.backbone.init_cfg=None'
    done = ROOT / work_dir / 'finished.json'
    steps.run(f'{title}, seed {seed}: Mask R-CNN', log.format('mask_rcnn'),
              *train(detector, gpus, size), '--work-dir', str(work_dir), '--cfg-options', init,
              f'randomness.seed={seed}', done=done)
    if not done.exists():
        write_atomically(done, json.dumps(coco_metrics(ROOT / work_dir)))
    return dict(json.loads(done.read_text()), svm=json.loads((ROOT / svm).read_text())['mAP'])


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


def demo_data(steps: Steps) -> None:
    """Writes the street scenes of the demo, where they are not there."""
    steps.run('street scenes in ImageNet, VOC2007 and COCO layouts', 'data', '-m',
              'multissl_mm.simulation', 'data/demo', '--seed', '0', *DEMO_DATA)


def show(out: Path, columns: Dict[str, str], rows: Dict[str, Row]) -> None:
    """Prints mean and spread over all seeds that are there, the paper's numbers below them.

    The spread is the standard deviation of a sample (n - 1). Writes ``table4.json``, ``.md`` and
    ``.png`` to ``out``.
    """
    table = Table('', 'seeds', *columns, title='Table 4: mean ± standard deviation over seeds (%)')
    lines = [['', 'seeds', *columns], ['---'] * (2 + len(columns))]
    results: Dict[str, Dict[str, dict]] = {}
    for key, row in rows.items():
        files = sorted(out.glob(f'seed*/{key}.json'))
        found = {path.parent.name: json.loads(path.read_text()) for path in files}
        if not found:
            continue
        results[key] = found
        spreads = [spread(found, metric) for metric in columns.values()]
        cells = [f'{mean:.1f}' + (f' ± {std:.1f}' if len(found) > 1 else '')
                 for mean, std in spreads]
        table.add_row(row.title, str(len(found)), *cells)
        lines.append([row.title, str(len(found)), *cells])
        if row.paper:
            table.add_row('  in the paper', '', *[f'{v:.1f}' for v in row.paper], style='dim')
    Console(width=max(console.width, 118)).print(table)
    write_atomically(out / 'table4.json', json.dumps(results, indent=2))
    write_atomically(out / 'table4.md', ''.join(f'| {" | ".join(line)} |\n' for line in lines))
    draw({rows[key].title: found for key, found in results.items()}, out / 'table4.png')


def spread(found: Dict[str, dict], metric: str) -> Tuple[float, float]:
    """Mean and standard deviation of a metric over the results of several seeds."""
    values = [metrics[metric] for metrics in found.values()]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.


def draw(rows: Dict[str, Dict[str, dict]], path: Path) -> None:
    """Classification against detection, as in the paper's Figure 1b.

    Args:
        rows (dict[str, dict[str, dict]]): Title: seed: metrics.
    """
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots(figsize=(7.5, 5), dpi=150)
    seeds = max(map(len, rows.values()))
    markers = 'osD^vP*Xhp<>'
    for i, (name, found) in enumerate(rows.items()):
        (x, dx), (y, dy) = (spread(found, metric) for metric in ('svm', 'bbox_mAP'))
        axis.errorbar(x, y, xerr=dx, yerr=dy, fmt=markers[i % len(markers)], ms=8, capsize=3,
                      lw=1, color=f'C{i % 10}', label=name)
    axis.margins(0.15)
    axis.set(xlabel='VOC07-format classification, SVM mAP (%)',
             ylabel='COCO-format detection, box AP (%)', title='What one backbone is worth')
    axis.legend(fontsize=8, loc='center left', bbox_to_anchor=(1.01, .5), frameon=False)
    axis.text(.99, .02, f'bars: standard deviation over {seeds} seeds' if seeds > 1 else
              'one seed: a difference of a point or two is noise', ha='right',
              transform=axis.transAxes, fontsize=8, color='0.4')
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', choices=['table4'])
    parser.add_argument('--rows', nargs='+', choices=list(TABLE4), metavar='ROW',
                        help=f'of {", ".join(TABLE4)} (default: those of the paper but detco)')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--full', action='store_true', help='ResNet-50 on ImageNet, VOC2007 and '
                        'COCO in data/ instead of the demo')
    parser.add_argument('--gpus', type=int, default=0, help='train on so many (default: no '
                        'launcher)')
    parser.add_argument('--checkpoint', help="of the row detco: MMPretrain's layout, "
                        'see tools/model_converters/export_backbone.py')
    parser.add_argument('--out', type=Path, help='default: work_dirs/table4_<demo or full>')
    parser.add_argument('--traceback', action='store_true')
    args = parser.parse_args()
    rows = args.rows or DEFAULT_ROWS
    if 'detco' in rows and not args.checkpoint:
        raise MultiSSLError('the row detco evaluates weights that others have trained: name them '
                            'with --checkpoint')
    out = args.out or Path('work_dirs') / f'table4_{"full" if args.full else "demo"}'
    steps = Steps(ROOT / out / 'logs', console=console)
    if not args.full:
        demo_data(steps)
    for seed in args.seeds:
        run = Table4Run(FULL if args.full else DEMO, out, seed, steps, args.gpus, args.checkpoint)
        for key in rows:
            run.run(key)
    show(ROOT / out, COLUMNS, TABLE4)
    console.print(f'{steps.minutes:.1f} minutes. Results in {out}', highlight=False)


if __name__ == '__main__':
    run_tool(main)
