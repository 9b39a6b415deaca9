"""Curves of a run: losses by task, learning rate, and whatever hooks have logged."""
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import MultiSSLError
from ..utils.figures import save_figure
from .runs import Run, read_run

#: title: (keys, label of the vertical axis, its scale); the rest of a key is its line's name.
PANELS: Dict[str, Tuple[str, str, str]] = {
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


def draw_curves(work_dir: Union[str, Path], out: Optional[Path] = None) -> Path:
    """Draws all that a run has logged; stages of an incremental run are shaded.

    Args:
        work_dir (str | Path): Of the run.
        out (Path, optional): Picture; its ending says in which format. Defaults to ``curves.png``
            in the work directory.

    Returns:
        Path: The picture.

    Raises:
        MultiSSLError: If there is nothing to draw, or no such format.
    """
    out = out or Path(work_dir) / 'curves.png'
    save_figure(draw(read_run(work_dir)), out)
    return out


def grid(count: int, title: str, columns: int = 2) -> Tuple[Figure, List[Axes]]:
    """A figure with room for so many panels over epochs."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(6.4 * columns, 3.2 * rows + .5), dpi=120, layout='constrained')
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flat)
    figure.suptitle(title)
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[max(0, count - columns):count]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel('epoch')
    return figure, axes[:count]


def draw_line(axis: Axes, x: np.ndarray, y: np.ndarray, label: str, **style: Any) -> None:
    """A curve; few points, as of a look once in some epochs, are marked."""
    axis.plot(x, y, label=label, marker='o' if len(x) <= 40 else None, markersize=3, linewidth=1.3,
              **style)


def finish(axis: Axes, title: str, ylabel: str, scale: str) -> None:
    """Labels of a panel, and a legend beside its curves."""
    axis.set(ylabel=ylabel, yscale=scale)
    axis.set_title(title, fontsize=11, pad=18)  # above the names of stages
    axis.grid(alpha=.3)
    axis.legend(fontsize=8, loc='upper left', bbox_to_anchor=(1.01, 1), borderaxespad=0)


def draw(run: Run) -> Figure:
    """Panels of one run; a task has the same colour in all of them."""
    panels: Dict[str, Dict[str, str]] = {}
    for title, (pattern, _, _) in PANELS.items():
        found = {key: match[1] for key in run.curves if (match := re.fullmatch(pattern, key))}
        if found and not (title == 'Loss' and 'Losses by task' in panels):
            panels[title] = found
    if not panels:
        raise MultiSSLError(f'{run.name}: nothing is logged that there is a picture of')
    colours: Dict[str, str] = {}
    figure, axes = grid(len(panels), run.name)
    for axis, (title, keys) in zip(axes, panels.items()):
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
        finish(axis, title, *PANELS[title][1:])
    return figure
