"""The numbers of the paper's tables, each behind one command.

    python tools/reproduce.py table4 --rows il_mocov2_densecl           # demo size, two CPU cores
    python tools/reproduce.py table4 --seeds 0 1 2                      # all but DetCo
    python tools/reproduce.py table4 --rows mocov2 --full --gpus 8      # ImageNet, VOC2007, COCO
    python tools/reproduce.py table4 --rows detco --checkpoint DETCO.pth --full --gpus 8
    python tools/reproduce.py table2a                                   # sound: single tasks
    python tools/reproduce.py table2b --rows il_b_c --downstream sp     # one cell
    python tools/reproduce.py table3 --full --gpus 4                    # OmniAudio

A row is pretrained, then evaluated: Table 4 with the VOC07 SVM protocol and with Mask R-CNN, Tables
2 and 3 with semantic prediction, video retrieval and S3R. Every step is a command of this project,
printed as one would type it. What is finished is not done again: remove the folder of the run to
start over. At demo size the data are simulated street scenes, and the numbers show what the code
does, not what the method is worth on real ones.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Dict, Optional

from rich.console import Console
from rich.table import Table

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically
from multissl_mm.utils.steps import ROOT, Steps

sys.path.insert(0, str(ROOT / 'tools'))
from _sound_tables import DOWNSTREAM, SOUND_TABLES, run_sound_table  # noqa: E402
from _tables import (  # noqa: E402
    Pretraining,
    Row,
    Size,
    cell,
    last_metrics,
    spread,
    train,
    write_results,
)

#: Column of the table: key of the results.
COLUMNS = {
    'SVM mAP': 'svm', 'box AP': 'bbox_mAP', 'AP50': 'bbox_mAP_50', 'AP75': 'bbox_mAP_75',
    'mask AP': 'segm_mAP', 'mask AP50': 'segm_mAP_50', 'mask AP75': 'segm_mAP_75',
}
DEMO_DATA = ['--imagenet', '2500', '--voc', '1000', '--coco-train', '400', '--coco-val', '100']
console = Console()


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
                                 backbone='concat_mocov2_densecl', kind='concat-',
                                 paper=(85.54, 40.67, 60.59, 43.98, 36.61, 58.18, 39.20)),
    'il_mocov2_densecl': Row('IL (M+D)', 'il_mocov2_densecl',
                             paper=(86.38, 41.82, 62.02, 45.01, 37.21, 59.10, 39.93)),
    # Not in Table 4: the paper reports these for sound (Table 2b), or not at all.
    'il_densecl_mocov2': Row('IL (D+M)', 'il_densecl_mocov2'),
    'progressive_mocov2_densecl': Row('ProgressNet (M+D)', 'progressive_mocov2_densecl',
                                      kind='progressive-'),
    'euclidean-dist_mocov2_densecl': Row('Euclidean dist (M+D)', 'euclidean-dist_mocov2_densecl',
                                         parts=('mocov2', 'densecl')),
    'contrastive-dist_mocov2_densecl': Row('Contrastive dist (M+D)',
                                           'contrastive-dist_mocov2_densecl',
                                           parts=('mocov2', 'densecl')),
}
DEFAULT_ROWS = [key for key, row in TABLE4.items() if row.paper and key != 'detco']


DEMO = Size('configs/demo', full=False)
FULL = Size('configs', full=True)
#: Of the evaluations: config of the Mask R-CNN, VOC2007, size of its pictures.
EVALUATION = {
    DEMO: ('configs/demo/mask-rcnn_{}r18_fpn_coco.py', 'data/demo/VOCdevkit/VOC2007', 96),
    FULL: ('configs/benchmarks/coco/mask-rcnn_{}r50_fpn_ms-1x_coco.py', 'data/VOCdevkit/VOC2007',
           224),
}


class Table4Run(Pretraining):
    """Pretrains and evaluates rows of Table 4 with one seed; arguments of :class:`Pretraining`.

    Args:
        given (str, optional): Checkpoint of the row that is only evaluated (DetCo).
    """

    def __init__(self, *args, given: Optional[str] = None, **kwargs) -> None:
        super().__init__(TABLE4, *args, given=dict(detco=given), **kwargs)

    def run(self, key: str) -> Dict[str, float]:
        """Metrics of one row, in percent."""
        row = TABLE4[key]
        metrics = evaluate(
            self.steps, self.out, key, row.title, self.checkpoint(key), config=self.config(key),
            kind=row.kind, size=self.size, seed=self.seed, gpus=self.gpus)
        write_atomically(ROOT / self.out / f'{key}.json', json.dumps(metrics, indent=2))
        return metrics


def evaluate(steps: Steps, out: Path, name: str, title: str, checkpoint: Optional[str],
             config: str, size: Size, kind: str = '', seed: int = 0, gpus: int = 0
             ) -> Dict[str, float]:
    """VOC07 SVM and Mask R-CNN of one backbone.

    Args:
        out (Path): Folder for the results, relative to the project's.
        name (str): Of this backbone's files in it.
        checkpoint (str | None): None is random initialisation.
        config (str): Has the backbone, for the SVM.
        kind (str): Of the backbone, see :class:`Row`.

    Returns:
        dict[str, float]: Values of ``COLUMNS`` in percent.
    """
    detector, voc, image_size = EVALUATION[size]
    detector = detector.format(kind)
    svm, work_dir = out / f'svm_{name}.json', out / f'mask_rcnn_{name}'
    log = f'{out.name}_{{}}_{name}'
    steps.run(f'{title}, seed {seed}: VOC07 SVM', log.format('svm'),
              'tools/benchmarks/voc07_svm.py', config, checkpoint or 'random', '--data-root',
              voc, '--image-size', str(image_size), '--seed', str(seed), '--out',
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
    return {k: 100 * v for k, v in last_metrics(work_dir, 'coco/').items()}


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
        cells = [cell(found, metric) for metric in columns.values()]
        table.add_row(row.title, str(len(found)), *cells)
        lines.append([row.title, str(len(found)), *cells])
        if row.paper:
            table.add_row('  in the paper', '', *[f'{v:.1f}' for v in row.paper], style='dim')
    Console(width=max(console.width, 118)).print(table)
    write_results(out, 'table4', results, lines)
    draw({rows[key].title: found for key, found in results.items()}, out / 'table4.png')


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
    tables = dict(table4=TABLE4, **SOUND_TABLES)
    parser.add_argument('table', choices=sorted(tables))
    parser.add_argument('--rows', nargs='+', metavar='ROW', help='; '.join(
        f'{name}: {", ".join(rows)}' for name, rows in tables.items()) +
        ' (default: of Table 4 those of the paper but detco, and random; of Table 3 concat, mtl '
        'and il; of the others all)')
    parser.add_argument('--downstream', nargs='+', choices=DOWNSTREAM, default=list(DOWNSTREAM),
                        help='of Tables 2 and 3 only these tasks')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--full', action='store_true', help='the real thing, on ImageNet, VOC2007 '
                        'and COCO, or OmniAudio, in data/ instead of the demo')
    parser.add_argument('--gpus', type=int, default=0, help='train on so many (default: no '
                        'launcher)')
    parser.add_argument('--checkpoint', help='of the row detco (MMPretrain\'s layout), or of the '
                        'sound row supervised (AudioSet): see '
                        'tools/model_converters/export_backbone.py')
    parser.add_argument('--out', type=Path, help='default: work_dirs/table4_<demo or full>, '
                        'work_dirs/tables_sound_<demo or full>')
    parser.add_argument('--traceback', action='store_true')
    args = parser.parse_args()
    unknown = set(args.rows or ()) - set(tables[args.table])
    if unknown:
        parser.error(f'{args.table} has no row {", ".join(sorted(unknown))}; it has '
                     f'{", ".join(tables[args.table])}')
    size = 'full' if args.full else 'demo'
    if args.table != 'table4':
        out = args.out or Path('work_dirs') / f'tables_sound_{size}'
        run_sound_table(args, out, Steps(ROOT / out / 'logs', console=console))
        return
    rows = args.rows or DEFAULT_ROWS
    if 'detco' in rows and not args.checkpoint:
        raise MultiSSLError('the row detco evaluates weights that others have trained: name them '
                            'with --checkpoint')
    out = args.out or Path('work_dirs') / f'table4_{size}'
    steps = Steps(ROOT / out / 'logs', console=console)
    if not args.full:
        demo_data(steps)
    for seed in args.seeds:
        run = Table4Run(FULL if args.full else DEMO, out, seed, steps, args.gpus,
                        given=args.checkpoint)
        for key in rows:
            run.run(key)
    show(ROOT / out, COLUMNS, TABLE4)
    console.print(f'{steps.minutes:.1f} minutes. Results in {out}', highlight=False)


if __name__ == '__main__':
    run_tool(main)
