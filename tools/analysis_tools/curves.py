"""Curves of a run: losses by task, learning rate, and whatever hooks have logged.

    python tools/analysis_tools/curves.py work_dirs/il_mocov2_densecl

Reads vis_data/scalars.json of every start of the run: where a resumed run repeats steps, its
values count. Stages of an incremental run are shaded.
"""
import argparse
import json
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import matplotlib
import numpy as np
from mmengine.config import Config

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.cli import run_tool

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

#: title: (keys, label of the vertical axis, its scale); the rest of a key is its line's name.
PANELS = {
    'Losses by task': (r'(?!.*/)(.+\..*loss.*)', 'loss', 'linear'),
    'Loss': (r'(loss)', 'loss', 'linear'),
    'Own losses on held-out views': (r'heldout/(.+)', 'loss', 'linear'),
    'Forgetting': (r'forgetting/(.+)', 'held-out loss, now - when finished', 'linear'),
    'kNN probe': (r'knn/(.+)', 'accuracy (%)', 'linear'),
    'Gradients on the backbone: cosine': (r'gradient_cosine/(.+)', 'cosine', 'linear'),
    'Gradients on the backbone: ratio of norms': (r'gradient_norm_ratio/(.+)', 'ratio', 'log'),
    'Gradients on the backbone: norm': (r'gradient_norm/(.+)', 'norm', 'log'),
    'Learning rate': (r'(lr)', 'learning rate', 'linear'),
    'Metrics': (r'(?!heldout|forgetting|knn|gradient)(.+/.+)', '', 'linear'),
}


class Run(NamedTuple):
    """What a run has logged.

    ``curves`` holds for every key epochs (M,), as fractions, and values (M,); ``stages`` holds
    name, first and last epoch of the stages of an incremental run.
    """
    name: str
    curves: Dict[str, Tuple[np.ndarray, np.ndarray]]
    stages: List[Tuple[str, float, float]]

    @property
    def epochs(self) -> float:
        """How far the run has come."""
        return max(x[-1] for x, _ in self.curves.values())


def read_run(work_dir: str) -> Run:
    """Reads all that the starts of a run have logged into its work directory.

    Raises:
        MultiSSLError: If there is no such folder, or nothing of a training in it.
    """
    root = Path(work_dir)
    if not root.is_dir():
        raise MultiSSLError(f'{work_dir}: no such folder')
    files = sorted(root.glob('*/vis_data/scalars.json'))
    if not files:
        raise MultiSSLError(f'{work_dir}: no */vis_data/scalars.json in it; is it the work_dir of '
                            'a run, and has its visualizer a LocalVisBackend?')
    lines: List[dict] = []
    used: Optional[Path] = None
    for path in files:
        new = _read_lines(path)
        if new:  # a run that only tested has none
            lines, used = [line for line in lines if line['iter'] < new[0]['iter']] + new, path
    if used is None:
        raise MultiSSLError(f'{files[-1]}: no training step is logged yet')

    # The last step of every epoch; the present epoch gets at least the length of the one before.
    ends = {0: 0}
    for line in lines:
        ends[line['epoch']] = max(line['iter'], ends.get(line['epoch'], 0))
    epochs, steps = (np.array(x, float) for x in zip(*sorted(ends.items())))
    if len(steps) > 2:
        steps[-1] = max(steps[-1], 2 * steps[-2] - steps[-3])
    points: Dict[str, List[Tuple[int, float]]] = {}
    for line in lines:
        for key, value in line.items():
            if isinstance(value, (int, float)) and key not in ('iter', 'epoch', 'step'):
                points.setdefault(key, []).append((line['iter'], value))
    curves = {}
    for key, pairs in points.items():
        x, y = np.array(pairs, float).T
        curves[key] = np.interp(x, steps, epochs), y
    return Run(root.resolve().name, curves, _stages(used.with_name('config.py')))


def _read_lines(path: Path) -> List[dict]:
    lines: List[dict] = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError:
            # The last line of a run that was killed may be torn.
            print(f'{path}, line {number}: left out, it is not whole')
            continue
        if 'iter' not in line and lines:  # a validation: MMEngine gives it an epoch only
            line.update(iter=lines[-1]['iter'], epoch=lines[-1]['epoch'])
        if 'iter' in line:
            lines.append(dict({'epoch': 1}, **line))
    return lines


def _stages(config: Path) -> List[Tuple[str, float, float]]:
    if not config.is_file():
        return []
    cfg = Config.fromfile(config)
    hooks = [h for h in [*(cfg.get('default_hooks') or {}).values(),
                         *(cfg.get('custom_hooks') or [])] if h]
    lengths = (cfg.get('train_cfg') or {}).get('stages') or next(
        (h.get('epochs') for h in hooks if str(h['type']).endswith('ILStageHook')), None) or []
    ends = np.cumsum(lengths).tolist()
    names = [task['name'] for task in cfg.model.get('tasks', [])]
    return [(f'stage {k + 1}: {name}', end - length, end)
            for k, (name, length, end) in enumerate(zip(names, lengths, ends)) if length]


# ---------------------------------------------------------------------- pictures

def grid(count: int, title: str, columns: int = 2) -> Tuple[plt.Figure, List[Axes]]:
    """A figure with room for so many panels over epochs."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(6.4 * columns, 3.2 * rows + .5), dpi=120,
                                squeeze=False, sharex=True, layout='constrained')
    figure.suptitle(title)
    axes = list(axes.flat)
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[max(0, count - columns):count]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel('epoch')
    return figure, axes[:count]


def draw_line(axis: Axes, x: np.ndarray, y: np.ndarray, label: str, **style: object) -> None:
    """A curve; few points, as of a look once in some epochs, are marked."""
    axis.plot(x, y, label=label, marker='o' if len(x) <= 40 else None, markersize=3, linewidth=1.3,
              **style)


def finish(axis: Axes, title: str, ylabel: str, scale: str) -> None:
    """Labels of a panel, and a legend beside its curves."""
    axis.set(ylabel=ylabel, yscale=scale)
    axis.set_title(title, fontsize=11, pad=18)  # above the names of stages
    axis.grid(alpha=.3)
    axis.legend(fontsize=8, loc='upper left', bbox_to_anchor=(1.01, 1), borderaxespad=0)


def draw(run: Run) -> plt.Figure:
    """Panels of one run; a task has the same colour in all of them."""
    panels = {}
    for title, (pattern, *rest) in PANELS.items():
        found = {key: match[1] for key in run.curves if (match := re.fullmatch(pattern, key))}
        if found and not (title == 'Loss' and 'Losses by task' in panels):
            panels[title] = found, *rest
    if not panels:
        raise MultiSSLError(f'{run.name}: nothing is logged that there is a picture of')
    colours: Dict[str, str] = {}
    figure, axes = grid(len(panels), run.name)
    for axis, (title, (keys, ylabel, scale)) in zip(axes, panels.items()):
        # In the order of the tasks, where they are learned one after the other.
        for key, label in sorted(keys.items(), key=lambda item: (run.curves[item[0]][0][0], item)):
            task = label.partition('.')[0]
            colour = colours.setdefault(task, f'C{len(colours) % 10}')
            same = sum(line.get_color() == colour for line in axis.lines)
            draw_line(axis, *run.curves[key], label, color=colour,
                      linestyle=('-', '--', ':', '-.')[same % 4])
        for k, (name, start, end) in enumerate(run.stages):
            axis.axvspan(start, end, color=('0.93', '0.85')[k % 2], zorder=0, linewidth=0)
            axis.text((start + end) / 2, 1.01, name, transform=axis.get_xaxis_transform(),
                      ha='center', va='bottom', fontsize=8, color='0.35')
        finish(axis, title, ylabel, scale)
    return figure


def save(figure: plt.Figure, out: Path) -> None:
    """Writes a picture; the ending says in which format."""
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(out)
    except ValueError as e:
        raise MultiSSLError(f'{out}: {e}') from e
    finally:
        plt.close(figure)
    print(f'wrote {out}')


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir', help='of a run of tools/train.py')
    parser.add_argument('--out', type=Path, help='picture (default: WORK_DIR/curves.png)')
    args = parser.parse_args(argv)
    save(draw(read_run(args.work_dir)), args.out or Path(args.work_dir) / 'curves.png')


if __name__ == '__main__':
    run_tool(main)
