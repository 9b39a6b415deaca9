"""What all tables have in common: columns, means over seeds, files."""
import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from rich.console import Console
from rich.table import Table

from ..utils.figures import save_figure
from ..utils.files import read_json, write_atomically
from .columns import Column, Found, values
from .drawing import trade_off
from .intervals import Interval, interval
from .row import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GUESSING = 'No encoder'  # title of the row with Column.without


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
            name = run.replace('_frozen', '') if self.rows[key].frozen else run
            files = [path for folder in seed_folders(out)
                     if (path := folder / f'{key}_{name}.json').is_file()]
            if files:
                found[run] = {path.parent.name: read_json(path) for path in files}
        return found

    def found(self, out: Path) -> Dict[str, Found]:
        """Of every row that is there, its results."""
        return {key: found for key in self.rows if (found := self.collect(out, key))}

    def show(self, out: Path, console: Console) -> Dict[str, Found]:
        """Prints what is there, over all seeds, the paper's numbers below.

        Writes ``<name>.json``, ``.csv``, ``.md`` and ``.png`` to ``out``.

        Returns:
            dict: Of every row that is there, its results.
        """
        titles = ['seeds', *(column.title for column in self.columns)]
        shown = Table('', *titles, title=f'{self.title}; mean ± half of its 95 % interval over '
                      'seeds, (rank)', caption=self.caption)
        lines = [['', *titles], ['---'] * (1 + len(titles))]
        results = self.found(out)
        if any(column.without for column in self.columns):
            # These depend on the data alone, so that those of any row will do.
            anything = {run: seeds for found in results.values() for run, seeds in found.items()}
            cells = ['', *(_cell(anything, c, c.without) for c in self.columns)]
            shown.add_row(GUESSING, *cells, end_section=True)
            lines.append([GUESSING, *cells])
        ranks = {column.title: rank(results, column) for column in self.columns}
        for key, found in results.items():
            row, seeds = self.rows[key], len({s for seeds in found.values() for s in seeds})
            cells = [_cell(found, c, c.metric) for c in self.columns]
            cells = [f'{cell} ({ranks[c.title][key]})' if key in ranks[c.title] else cell
                     for c, cell in zip(self.columns, cells)]
            lines.append([row.title, str(seeds), *cells])
            shown.add_row(row.title, str(seeds), *cells)
            if row.paper:
                paper = [in_paper(row, c) for c in self.columns]
                shown.add_row('  in the paper', '', *paper, style='dim')
                lines.append([f'{row.title}, in the paper', '', *paper])
        wide = console if console.width >= 132 else Console(
            width=132, file=console.file, quiet=console.quiet)
        wide.print(shown)
        for line in mixed(self, results):
            console.print(line, style='yellow', highlight=False, markup=False)
        write_atomically(out / f'{self.name}.json', json.dumps(results, indent=2))
        write_atomically(out / f'{self.name}.csv', self.csv(results))
        write_atomically(out / f'{self.name}.md', ''.join(
            f'| {" | ".join(line)} |\n' for line in lines))
        save_figure(self.draw(results), out / f'{self.name}.png')
        return results

    def draw(self, results: Mapping[str, Found]) -> 'Figure':
        """Columns against each other, see :func:`trade_off`."""
        return trade_off(self.figure, self.panels, {c.title: c for c in self.columns},
                         {self.rows[key].title: found for key, found in results.items()})

    def csv(self, results: Mapping[str, Found]) -> str:
        """A line per row and column, with what each seed got."""
        lines: List[Sequence] = [['row', 'title', 'column', 'seeds', 'mean', 'low', 'high',
                                  'standard deviation', 'rank', 'paper', 'by seed']]
        for column in self.columns:
            ranks = rank(results, column)
            for key, found in results.items():
                got = values(found, column)
                if not got:
                    continue
                mean = interval(list(got.values()))
                lines.append([key, self.rows[key].title, column.title, mean.seeds, mean.mean,
                              mean.low, mean.high, mean.deviation, ranks.get(key),
                              in_paper(self.rows[key], column),
                              ' '.join(f'{seed}={value}' for seed, value in got.items())])
        return csv_text(lines)


def seed_folders(out: Path) -> List[Path]:
    """Of the results of each seed; none of those that someone moved aside."""
    return sorted(path for path in out.glob('seed*') if re.fullmatch(r'seed-?\d+', path.name))


def csv_text(lines: Iterable[Sequence]) -> str:
    """Lines of cells as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()


def rank(results: Mapping[str, Found], column: Column) -> Dict[str, int]:
    """Places of rows in a column, 1 the best; equal means share one.

    Only of rows with as many seeds as any: the best of many with one seed each is that by chance.
    """
    every = {key: got for key, found in results.items() if (got := values(found, column))}
    most = max(map(len, every.values()), default=0)
    means = {key: interval(list(got.values())).mean for key, got in every.items()
             if len(got) == most}
    sign = -1 if column.below else 1
    return {key: 1 + sum(sign * other > sign * mean for other in means.values())
            for key, mean in means.items()}


def mixed(table: PaperTable, results: Mapping[str, Found]) -> List[str]:
    """A sentence for every row whose seeds were made with different settings or data.

    Of results that do not say so, as those of earlier versions, nothing is said.
    """
    lines = []
    for key, found in results.items():
        kinds: Dict[str, Set[str]] = {}
        for run, seeds in found.items():
            by_settings: Dict[str, Set[str]] = {}
            for seed, metrics in seeds.items():
                if settings := metrics.get('made', {}).get('settings'):
                    by_settings.setdefault(settings, set()).add(seed)
            if len(by_settings) > 1:
                kinds[run] = min(by_settings.values(), key=len)
        if kinds:
            odd = sorted(set().union(*kinds.values()))
            lines.append(f'{table.rows[key].title}: {", ".join(odd)} ({", ".join(kinds)}) of other '
                         'settings or data than its other seeds; reproduce them again, or move '
                         'their results away')
    return lines


def _cell(found: Found, column: Column, metric: Optional[str]) -> str:
    """Mean ± half of its interval over seeds, the mean alone where there is one seed."""
    got = values(found, column, metric) if metric else {}
    return written(interval(list(got.values())), column.digits) if got else '-'


def written(mean: Interval, digits: int, sign: str = '') -> str:
    """E.g. ``42.1 ± 1.3``; with its sign where that is ``+``."""
    half = '' if mean.high is None else f' ± {mean.high - mean.mean:.{digits}f}'
    return f'{mean.mean:{sign}.{digits}f}{half}'


def in_paper(row: Row, column: Column) -> str:
    """The paper's number, if it has one."""
    value = paper_value(row, column)
    return '' if value is None else f'{value:.{column.digits}f}'


def paper_value(row: Row, column: Column) -> Optional[float]:
    """The same as a number."""
    return None if column.paper is None or not row.paper else row.paper[column.paper]
