"""What all tables have in common: columns, means over seeds, files and pictures."""
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from rich.console import Console
from rich.table import Table

from ..utils.files import write_atomically
from .rows import Row

#: Metrics by seed.
Seeds = Dict[str, Dict[str, float]]
#: Of a row: evaluation: seed: metrics.
Found = Dict[str, Seeds]

GUESSING = 'No encoder'  # title of the row with Column.without


class Column(NamedTuple):
    """A column of a table.

    Args:
        title (str): At its head.
        run (str): The evaluation that it comes from.
        metric (str): Of that evaluation.
        digits (int): After the point.
        paper (int | None): Which of a row's numbers in the paper it is.
        without (str | None): Metric that says what nothing but a guess gets.
        below (bool): Whether less is better.
    """
    title: str
    run: str
    metric: str
    digits: int = 1
    paper: Optional[int] = None
    without: Optional[str] = None
    below: bool = False


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Args:
        name (str): Of its files.
        title (str): Above it.
        rows (dict[str, Row]): In their order.
        columns (sequence[Column]): In their order.
        panels (sequence[sequence[tuple[str, str]]]): Of its picture, row by row: the titles of
            the columns that are set against each other.
        figure (str): Title of the picture.
        default (tuple[str]): Rows that are reproduced where none is named; all by default.
        caption (str): Below it.
    """
    name: str
    title: str
    rows: Mapping[str, Row]
    columns: Sequence[Column]
    panels: Sequence[Sequence[Tuple[str, str]]]
    figure: str
    default: Tuple[str, ...] = ()
    caption: Optional[str] = None

    @property
    def default_rows(self) -> Tuple[str, ...]:
        return self.default or tuple(self.rows)

    def collect(self, out: Path, key: str) -> Found:
        """All results of a row that are there."""
        found: Found = {}
        for run in dict.fromkeys(column.run for column in self.columns):
            # Concatenated encoders are always frozen.
            name = run.replace('_frozen', '') if key.startswith('concat') else run
            files = sorted(out.glob(f'seed*/{key}_{name}.json'))
            if files:
                found[run] = {path.parent.name: json.loads(path.read_text()) for path in files}
        return found

    def show(self, out: Path, console: Console) -> Dict[str, Found]:
        """Prints what is there, over all seeds, the paper's numbers below.

        The spread is the standard deviation of a sample (n - 1). Writes ``<name>.json``, ``.md``
        and ``.png`` to ``out``.

        Returns:
            dict: Of every row that is there, its results.
        """
        titles = ['seeds', *(column.title for column in self.columns)]
        shown = Table('', *titles, title=f'{self.title}; mean ± standard deviation over seeds',
                      caption=self.caption)
        lines = [['', *titles], ['---'] * (1 + len(titles))]
        results = {key: found for key in self.rows if (found := self.collect(out, key))}
        if any(column.without for column in self.columns):
            # These depend on the data alone, so that those of any row will do.
            anything = {run: seeds for found in results.values() for run, seeds in found.items()}
            cells = ['', *(_cell(anything, c, c.without) for c in self.columns)]
            shown.add_row(GUESSING, *cells, end_section=True)
            lines.append([GUESSING, *cells])
        for key, found in results.items():
            row = self.rows[key]
            cells = [str(len({seed for seeds in found.values() for seed in seeds})),
                     *(_cell(found, c, c.metric) for c in self.columns)]
            shown.add_row(row.title, *cells)
            lines.append([row.title, *cells])
            if row.paper:
                shown.add_row('  in the paper', '', *(_in_paper(row, c) for c in self.columns),
                              style='dim')
        wide = console if console.width >= 132 else Console(
            width=132, file=console.file, quiet=console.quiet)
        wide.print(shown)
        write_atomically(out / f'{self.name}.json', json.dumps(results, indent=2))
        write_atomically(out / f'{self.name}.md', ''.join(
            f'| {" | ".join(line)} |\n' for line in lines))
        self.draw(results, out / f'{self.name}.png')
        return results

    def draw(self, results: Mapping[str, Found], path: Path) -> None:
        """Columns against each other; better is right and up.

        A row is its mean with its standard deviation, over faint points of its seeds.
        """
        from matplotlib.figure import Figure
        columns = {column.title: column for column in self.columns}
        height, width = len(self.panels), len(self.panels[0])
        figure = Figure(figsize=(4.6 * width + 2.5 * (len(results) > 6), 4 * height + 1), dpi=130,
                        layout='constrained')
        axes = figure.subplots(height, width, squeeze=False)
        handles: Dict[str, object] = {}
        named = len(results) <= 6  # few enough to be named where they are
        for axis, (x, y) in zip(axes.flat, sum(map(list, self.panels), [])):
            names: List[Tuple[str, float, float, str]] = []
            for i, (key, found) in enumerate(results.items()):
                if any(columns[title].run not in found for title in (x, y)):
                    continue
                (a, da), (b, db) = (spread(found[columns[title].run], columns[title].metric)
                                    for title in (x, y))
                marker, color, title = 'osD^vP*Xh<>d'[i % 12], f'C{i % 10}', self.rows[key].title
                handles[title] = axis.errorbar(a, b, xerr=da or None, yerr=db or None, fmt=marker,
                                               ms=9, capsize=4, lw=1.5, color=color)
                seeds = [[found[columns[title].run].get(seed, {}).get(columns[title].metric)
                          for title in (x, y)] for seed in found[columns[x].run]]
                if len(seeds) > 1:
                    axis.plot(*zip(*(point for point in seeds if None not in point)), marker,
                              color=color, ms=4, alpha=.35)
                if named:
                    names.append((title, a, b, color))
            middle = sum(a for _, a, _, _ in names) / max(len(names), 1)
            names.sort(key=lambda name: -name[2])  # inwards, above and below in turn
            for i, (title, a, b, color) in enumerate(names):
                axis.annotate(title, (a, b), (-9 if a > middle else 9, 12 - 24 * (i % 2)),
                              textcoords='offset points', fontsize=9, color=color, va='center',
                              ha='right' if a > middle else 'left')
            axis.set(xlabel=x, ylabel=y)
            if columns[x].below:
                axis.invert_xaxis()
            if columns[y].below:
                axis.invert_yaxis()
            axis.margins(.22 if named else .13)
            axis.grid(alpha=.3)
        count = max((len(s) for found in results.values() for s in found.values()), default=0)
        figure.suptitle(self.figure)
        figure.supxlabel(f'large: mean, bars: standard deviation over {count} seeds; small: each '
                         'seed' if count > 1 else
                         'one seed: a difference of a point or two is noise', fontsize=8,
                         color='0.4')
        if handles and not named:
            figure.legend(handles=list(handles.values()), labels=list(handles), fontsize=8,
                          loc='outside right center', frameon=False)
        figure.savefig(path)


def spread(found: Mapping[str, Mapping[str, float]], metric: str) -> Tuple[float, float]:
    """Mean and standard deviation of a metric over the results of several seeds."""
    values = [metrics[metric] for metrics in found.values()]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.


def _cell(found: Found, column: Column, metric: Optional[str]) -> str:
    """Mean ± standard deviation over seeds, the mean alone where there is one seed."""
    if metric is None or column.run not in found:
        return '-'
    mean, std = spread(found[column.run], metric)
    return f'{mean:.{column.digits}f}' + (
        f' ± {std:.{column.digits}f}' if len(found[column.run]) > 1 else '')


def _in_paper(row: Row, column: Column) -> str:
    value = None if column.paper is None else row.paper[column.paper]
    return '' if value is None else f'{value:.{column.digits}f}'

