"""Pictures of tables: columns against each other, curves of runs."""
import base64
import io
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .columns import Column, Found, values
from .intervals import interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trade_off(title: str, panels: Sequence[Sequence[Tuple[str, str]]],
              columns: Mapping[str, Column], results: Mapping[str, Found]) -> 'Figure':
    """Columns against each other; better is right and up.

    A row is its mean, over faint points of its seeds; from three seeds on with the mean's 95 %
    interval. Two say too little of it. A row that would leave the others a corner of the picture
    (supervised ones) is named above it, with its numbers.

    Args:
        title (str): Above it.
        panels (sequence[sequence[tuple[str, str]]]): Row by row, titles of columns.
        columns (mapping[str, Column]): By their titles.
        results (mapping): Of every row, by its title.
    """
    from matplotlib.figure import Figure
    shown = [[pair for pair in row if _shown(results, [columns[name] for name in pair])]
             for row in panels]
    shown = [row for row in shown if row] or [list(panels[0][:1])]
    height, width = len(shown), max(map(len, shown))
    count = max((len(s) for found in results.values() for s in found.values()), default=0)
    named = len(results) <= 6 and count < 3  # few enough, without bars, to be named where they are
    figure = Figure(figsize=(4.6 * width + 2.5 * (not named), 4 * height + 1), dpi=130,
                    layout='constrained')
    axes = figure.subplots(height, width, squeeze=False)
    handles: Dict[str, object] = {}
    for axis, pair in zip(axes.flat, _filled(shown, width)):
        if pair is None:
            axis.remove()
            continue
        x, y = (columns[name] for name in pair)
        names: List[Tuple[str, float, float, str]] = []
        drawn = {row: (points, [interval([point[k] for point in points]) for k in (0, 1)])
                 for row, found in results.items() if (points := _points(found, x, y))}
        far = _far_off({row: (a.mean, b.mean) for row, (_, (a, b)) in drawn.items()})
        for i, row in enumerate(results):
            if row not in drawn:
                continue
            marker, color = 'osD^vP*Xh<>d'[i % 12], _color(i)
            points, (a, b) = drawn[row]
            if row == far:
                numbers = ', '.join(f'{mean.mean:.{column.digits}f}'
                                    for mean, column in ((a, x), (b, y)))
                axis.set_title(f'beyond the axes: {row}, {numbers}', fontsize=8, color=color,
                               loc='right')
                continue
            bars = [one.high - one.mean if one.high is not None and one.seeds > 2 else None
                    for one in (a, b)]
            handles[row] = axis.errorbar(a.mean, b.mean, xerr=bars[0], yerr=bars[1], fmt=marker,
                                         ms=9, capsize=4, lw=1.2, color=color)
            if len(points) > 1:
                axis.plot(*zip(*points), marker, color=color, ms=4, alpha=.35)
            names.append((row, a.mean, b.mean, color))
        if named:
            _name(axis, names, x.below)
        axis.set(xlabel=x.title, ylabel=y.title)
        if x.below:
            axis.invert_xaxis()
        if y.below:
            axis.invert_yaxis()
        axis.margins(.22 if named else .13)
        axis.grid(alpha=.3)
    figure.suptitle(title)
    bars_are = ', bars: its 95 % interval' if count > 2 else ''
    figure.supxlabel(f'large: mean over up to {count} seeds{bars_are}; small: each seed'
                     if count > 1 else 'one seed: a difference of a point or two is noise',
                     fontsize=8, color='0.4')
    if handles and not named:
        figure.legend(handles=list(handles.values()), labels=list(handles), fontsize=8,
                      loc='outside right center', frameon=False)
    return figure


def _color(i: int) -> str:
    """Of twenty: those that are usual, then paler ones."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex
    return to_hex(colormaps['tab20'](2 * (i % 10) + i // 10 % 2))


def _far_off(means: Mapping[str, Tuple[float, float]]) -> Optional[str]:
    """The row without which the others have at least 2.5 times the room, if they are some.

    Never the first one, random features: the others are seen against it.
    """
    for row in list(means)[1:] if len(means) > 4 else ():
        for k in (0, 1):
            every = [mean[k] for mean in means.values()]
            others = [mean[k] for name, mean in means.items() if name != row]
            if max(every) - min(every) > 2.5 * (max(others) - min(others)) > 0:
                return row
    return None


def _shown(results: Mapping[str, Found], pair: Sequence[Column]) -> bool:
    return any(all(column.run in found for column in pair) for found in results.values())


def _filled(panels: Sequence[Sequence[Tuple[str, str]]], width: int
            ) -> List[Optional[Tuple[str, str]]]:
    return [row[i] if i < len(row) else None for row in panels for i in range(width)]


def _points(found: Found, x: Column, y: Column) -> List[Tuple[float, float]]:
    a, b = (values(found, column) for column in (x, y))
    return [(a[seed], b[seed]) for seed in a if seed in b]


def _name(axis: Any, names: List[Tuple[str, float, float, str]], mirrored: bool) -> None:
    """Titles beside their points: inwards, above and below in turn."""
    middle = sum(a for _, a, _, _ in names) / max(len(names), 1)
    for i, (title, a, b, color) in enumerate(sorted(names, key=lambda name: -name[2])):
        right = (a > middle) != mirrored
        axis.annotate(title, (a, b), (-9 if right else 9, 12 - 24 * (i % 2)),
                      textcoords='offset points', fontsize=9, color=color, va='center',
                      ha='right' if right else 'left')


def watched(curves: Mapping[str, Sequence[Mapping[str, Any]]], beginning: str, ylabel: str,
            logarithmic: bool = False) -> Optional['Figure']:
    """What runs have logged under a beginning, by epoch: a panel per row, a line per seed.

    Args:
        curves (mapping): Of every row, by its title, what its seeds have in ``_curves.json``.
        beginning (str): E.g. ``forgetting/``.
    """
    from matplotlib.figure import Figure
    shown = {title: seeds for title, seeds in curves.items()
             if any(key.startswith(beginning) for run in seeds for key in run['curves'])}
    if not shown:
        return None
    width = min(3, len(shown))
    height = -(-len(shown) // width)
    figure = Figure(figsize=(4.2 * width + .6, 2.9 * height + .4), dpi=130, layout='constrained')
    axes = figure.subplots(height, width, squeeze=False)
    for axis in axes.flat[len(shown):]:
        axis.remove()
    for axis, (title, seeds) in zip(axes.flat, shown.items()):
        colors: Dict[str, str] = {}
        for run in seeds:
            for key, (x, y) in run['curves'].items():
                if not key.startswith(beginning):
                    continue
                label = key[len(beginning):]
                color = colors.setdefault(label, f'C{len(colors)}')
                axis.plot(x, y, color=color, lw=1, marker='o' if len(x) < 30 else None, ms=2.5,
                          alpha=.8, label=label if run is seeds[0] else None)
        for k, (name, start, end) in enumerate(seeds[0]['stages']):
            axis.axvspan(start, end, color=('0.95', '0.88')[k % 2], zorder=0, linewidth=0)
            axis.text((start + end) / 2, .99, name, transform=axis.get_xaxis_transform(),
                      ha='center', va='top', fontsize=7, color='0.35')
        axis.set(xlabel='epoch', ylabel=ylabel, yscale='log' if logarithmic else 'linear')
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=.3)
        axis.legend(fontsize=7)
    return figure


def inlined(figure: 'Figure') -> str:
    """A picture as text that an HTML page can hold."""
    data = io.BytesIO()
    figure.savefig(data, format='svg', metadata=dict(Date=None))
    return 'data:image/svg+xml;base64,' + base64.b64encode(data.getvalue()).decode()
