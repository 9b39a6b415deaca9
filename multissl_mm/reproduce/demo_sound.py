"""Sound in small, end to end."""
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
from rich.console import Console
from rich.table import Table

from ..datasets.ear_pairs import EAR_PAIRS
from ..datasets.omniaudio import read_index
from ..engine.hooks.checkpoint import FINAL
from ..utils.figures import save_figure
from ..utils.files import read_json
from ..utils.project import project_file
from .data import converted, sound_data
from .steps import Steps

PRETRAIN = 'configs/sound/demo/il_b_c_a.py'
#: Task -> its metric, what it is called, and its value by guessing.
METRICS = dict(b=('top1', 'B: top-1 of 8 segments', 1 / 8), c=('correlation', 'C: correlation', 0.),
               a=('top1', 'A: top-1 of 8 rotations', 1 / 8))

#: After a stage: task: scores by name.
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]


def run_sound_demo(out: Path = Path('work_dirs/demo_sound'), console: Optional[Console] = None
                   ) -> Scores:
    """Pretrains B -> C -> A incrementally on simulated streets and scores every stage.

    Held-out scenes say what a stage forgets of the tasks before it. Every step is a command of
    this project, run in the current directory and printed as one would type it. What is finished
    is not done again: remove ``out`` to start over.

    Args:
        out (Path): Folder of the run.
        console (Console, optional): Where progress and the table are printed.

    Returns:
        dict: After every stage, the scores of the tasks that are learned by then.
    """
    run, found = out / 'il_b_c_a', out / 'scores.json'
    config, final = project_file(PRETRAIN), run / FINAL
    steps = Steps(out / 'logs', total=4, console=console)
    sound_data(steps)
    steps.run('pretraining: B, then C, then A, each keeping the old responses', 'pretrain',
              project_file('tools/train.py'), config, '--work-dir', str(run), '--resume',
              done=final)
    steps.run('scores of every stage on held-out scenes', 'scores',
              project_file('tools/benchmarks/pretext_scores.py'), config,
              str(run / 'stage1_b.pth'), str(run / 'stage2_c.pth'), str(final), '--out',
              str(found), done=found)
    scores: Scores = dict(zip(('after stage 1 (B)', 'after stage 2 (C)', 'after stage 3 (A)'),
                              read_json(found).values()))
    show(scores, steps.console)
    draw(scores, converted(), out / 'stages.png')
    steps.console.print(
        f'picture      {out / "stages.png"}\ncheckpoints  {run}\nlogs         {steps.logs}\n'
        f'{steps.minutes:.1f} minutes. One seed, simulated streets: see what the code does, not '
        'what the method is worth.\n'
        'The real thing, on 4 GPUs with OmniAudio converted to data/omniaudio:\n'
        '    tools/dist_train.sh configs/sound/il_b_c_a.py 4', highlight=False, markup=False,
        soft_wrap=True)
    return scores


def show(scores: Scores, console: Console) -> None:
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


def draw(scores: Scores, data: Path, path: Path) -> None:
    """A picture: scores over the stages, and a held-out segment as the tasks see it.

    Args:
        data (Path): Folder that the converter of OmniAudio wrote.
    """
    from matplotlib.figure import Figure
    figure = Figure(figsize=(11, 6.5), dpi=120, layout='constrained')
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
    _draw_segment(data, [figure.add_subplot(grid[row, 1]) for row in range(4)])
    save_figure(figure, path)


def _draw_segment(data: Path, axes: Any) -> None:
    import soundfile
    index = read_index(str(data / 'index.json'))
    meta = index['metainfo']
    fps, rate = meta['fps'], meta['sample_rate']
    length = int(meta['seconds'] * fps)
    scene, start = _liveliest(data, index['data_list'][-10:], length, fps)
    folder, frame = data / f'scene{scene["scene"]:04d}', start + length // 2
    flow = np.load(folder / 'flow.npy', mmap_mode='r')
    where: Dict[str, Any] = dict(aspect='auto', extent=(180, -180, 0, 1))
    axes[0].imshow(np.load(folder / 'frames.npy', mmap_mode='r')[frame], **where)
    axes[0].set_title('panorama, azimuth 180 to -180 degrees', fontsize=9)
    axes[1].imshow(flow[frame, :, :, 0].astype(np.float32), cmap='RdBu', vmin=-6, vmax=6, **where)
    axes[1].set_title('horizontal flow', fontsize=9)
    for axis in axes[:2]:
        axis.set_yticks([])
    for axis, ear, track in zip(axes[2:], ('left', 'right'), EAR_PAIRS[0]):
        sound, _ = soundfile.read(data / meta['source'] / scene['tracks'][str(track)],
                                  start=int(start / fps * rate),
                                  frames=int(meta['seconds'] * rate))
        axis.specgram(sound + 1e-6, NFFT=512, Fs=rate, noverlap=256, vmin=-120, vmax=-40)
        axis.set_title(f'{ear} ear of the front pair, Hz over s', fontsize=9)


def _liveliest(data: Path, scenes: Any, length: int, fps: float) -> Tuple[dict, int]:
    """Of the last scenes, which are held out, the segment in which most moves."""
    best, scene, start = -1., {}, 0
    for entry in scenes:
        flow = np.load(data / f'scene{entry["scene"]:04d}' / 'flow.npy', mmap_mode='r')
        for first in (int(s * fps) for s in entry['segments']):
            moved = float(np.abs(flow[first:first + length].astype(np.float32)).mean())
            if moved > best:
                best, scene, start = moved, entry, first
    return scene, start
