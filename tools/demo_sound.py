"""Sound in small, end to end: ``make demo-sound``.

Writes simulated streets in OmniAudio's layout, converts them as one converts OmniAudio, pretrains
B -> C -> A incrementally, and scores every task on held-out scenes after every stage: so one sees
what a stage forgets of the tasks before it. Every step is a command of this project, printed as
one would type it. What is finished is not done again: remove the folder of the run to start over.
"""
import argparse
import json
from pathlib import Path
from typing import Dict

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
from mmengine.config import Config  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from multissl_mm.datasets.ear_pairs import EAR_PAIRS  # noqa: E402
from multissl_mm.datasets.omniaudio import read_index  # noqa: E402
from multissl_mm.utils.cli import run_tool  # noqa: E402
from multissl_mm.utils.steps import ROOT, Steps  # noqa: E402

PRETRAIN = 'configs/sound/demo/il_b_c_a.py'
RECORDED, CONVERTED = 'data/demo/omniaudio', 'data/demo/omniaudio_32x128'
#: Task -> its metric, what it is called, and its value by guessing.
METRICS = dict(b=('top1', 'B: top-1 of 8 segments', 1 / 8), c=('correlation', 'C: correlation', 0.),
               a=('top1', 'A: top-1 of 8 rotations', 1 / 8))


def sound_data(steps: Steps, recorded: str = RECORDED, *options: str) -> None:
    """Simulates the demo's scenes and converts them."""
    steps.run('144 street scenes of 20 s, in OmniAudio\'s layout', Path(recorded).parent.name +
              '_data', '-m', 'multissl_mm.simulation', str(Path(recorded).parent), '--omniaudio',
              '144', '--seconds', '20', *options)
    steps.run('frames, flow and foreground', Path(recorded).parent.name + '_convert',
              'tools/dataset_converters/omniaudio.py', recorded, f'{recorded}_32x128', '--size',
              '32', '128', '--rows', '.34', '.69')


def show(scores: Dict[str, Dict[str, Dict[str, float]]], console: Console) -> None:
    """Prints a table: a row per stage, a column per task."""
    table = Table('after', *[title for _, title, _ in METRICS.values()],
                  title='Held-out scenes, in the order of the stages')
    for stage, row in scores.items():
        table.add_row(stage, *[f'{row[t][m]:.3f}' if t in row else '-'
                               for t, (m, _, _) in METRICS.items()])
    table.add_row('guessing', *[f'{chance:.3f}' for _, _, chance in METRICS.values()],
                  style='dim')
    console.print(table)
    last = list(scores)[-1]
    for task, since in zip(METRICS, scores):
        metric = METRICS[task][0]
        then, now = scores[since][task][metric], scores[last][task][metric]
        if since != last:
            console.print(f'{task.upper()} was learned {since}: {then:.3f}; {last}: {now:.3f} '
                          f'({now - then:+.3f})', highlight=False)


def draw(scores: Dict[str, Dict[str, Dict[str, float]]], path: Path) -> None:
    """A picture: scores over the stages, and a held-out segment as the tasks see it."""
    figure = plt.figure(figsize=(11, 6.5), layout='constrained')
    grid = figure.add_gridspec(4, 2, width_ratios=(1, 1.25))
    axes = figure.add_subplot(grid[:, 0])
    stages = list(scores)
    for color, (task, (metric, title, chance)) in zip('C0 C1 C2'.split(), METRICS.items()):
        points = [(i, scores[s][task][metric]) for i, s in enumerate(stages) if task in scores[s]]
        axes.plot(*zip(*points), 'o-', color=color, label=title)
        axes.axhline(chance, color=color, linewidth=.8, linestyle=':')
    axes.set_xticks(range(len(stages)), [s.replace(' stage', '\nstage') for s in stages])
    axes.margins(x=.1)
    axes.set(ylim=(-.05, 1), title='Held-out scores; dotted: guessing')
    axes.legend(loc='upper left', fontsize=8)
    _draw_segment(figure, grid)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_segment(figure: plt.Figure, grid: plt.GridSpec) -> None:
    index = read_index(str(ROOT / CONVERTED / 'index.json'))
    meta = index['metainfo']
    fps, rate = meta['fps'], meta['sample_rate']
    length = int(meta['seconds'] * fps)
    # Of the last scenes, which are held out, the segment in which most moves.
    best, scene, start = -1., {}, 0
    for entry in index['data_list'][-10:]:
        flow = np.load(_folder(entry) / 'flow.npy', mmap_mode='r')
        for first in (int(s * fps) for s in entry['segments']):
            moved = float(np.abs(flow[first:first + length].astype(np.float32)).mean())
            if moved > best:
                best, scene, start = moved, entry, first
    folder, frame = _folder(scene), start + length // 2
    flow = np.load(folder / 'flow.npy', mmap_mode='r')
    rows = [('panorama, azimuth 180 to -180 degrees',
             np.load(folder / 'frames.npy', mmap_mode='r')[frame], {}),
            ('horizontal flow', flow[frame, :, :, 0].astype(np.float32),
             dict(cmap='RdBu', vmin=-6, vmax=6))]
    for row, (title, image, style) in enumerate(rows):
        axes = figure.add_subplot(grid[row, 1])
        axes.imshow(image, aspect='auto', extent=(180, -180, 0, 1), **style)
        axes.set_yticks([])
        axes.set_title(title, fontsize=9)
    root = ROOT / CONVERTED / meta['source']
    for row, (ear, track) in enumerate(zip(('left', 'right'), EAR_PAIRS[0]), 2):
        sound, _ = soundfile.read(root / scene['tracks'][str(track)], start=int(start / fps * rate),
                                  frames=int(meta['seconds'] * rate))
        axes = figure.add_subplot(grid[row, 1])
        axes.specgram(sound + 1e-6, NFFT=512, Fs=rate, noverlap=256, vmin=-120, vmax=-40)
        axes.set_title(f'{ear} ear of the front pair, Hz over s', fontsize=9)


def _folder(scene: dict) -> Path:
    return ROOT / CONVERTED / f'scene{scene["scene"]:04d}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='work_dirs/demo_sound', help='folder of the run')
    args = parser.parse_args()
    out, console = ROOT / args.out, Console()
    epochs = list(Config.fromfile(ROOT / PRETRAIN).default_hooks.stage.epochs)
    run = Path(args.out) / 'il_b_c_a'
    final = run / f'epoch_{sum(epochs)}.pth'

    steps = Steps(out / 'logs', total=4, console=console)
    sound_data(steps)
    steps.run(f'pretraining: {" + ".join(map(str, epochs))} epochs of B, then C, then A, each '
              'keeping the old responses', 'pretrain', 'tools/train.py', PRETRAIN, '--work-dir',
              str(run), '--resume', done=ROOT / final)
    found = out / 'scores.json'
    steps.run('scores of every stage on held-out scenes', 'scores',
              'tools/benchmarks/pretext_scores.py', PRETRAIN, str(run / 'stage1_b.pth'),
              str(run / 'stage2_c.pth'), str(final), '--out', str(found), done=found)
    scores = dict(zip(('after stage 1 (B)', 'after stage 2 (C)', 'after stage 3 (A)'),
                      json.loads(found.read_text()).values()))
    show(scores, console)
    draw(scores, out / 'stages.png')
    console.print(f'picture      {(out / "stages.png").relative_to(ROOT)}\ncheckpoints  {run}\n'
                  f'logs         {steps.logs.relative_to(ROOT)}\n'
                  f'{steps.minutes:.1f} minutes. One seed, simulated streets: see what the code '
                  'does, not what the method is worth.\n'
                  'The real thing, on 4 GPUs with OmniAudio converted to data/omniaudio:\n'
                  '    tools/dist_train.sh configs/sound/il_b_c_a.py 4',
                  highlight=False, soft_wrap=True)


if __name__ == '__main__':
    run_tool(main)
