"""One HTML file that holds all that there is of some tables: numbers, verdicts, pictures, costs."""
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..utils.files import read_json, write_atomically
from ..utils.project import PACKAGE
from .bounds import Bound
from .claims import CLAIMS, Checked, check, counted, surviving
from .costs import cost, curves, named_trainings
from .drawing import inlined, watched
from .intervals import FAILS, HOLDS, OPEN, Interval, interval
from .pictures import CONTROLS
from .results import (
    Column,
    Found,
    PaperTable,
    csv_text,
    in_paper,
    mixed,
    rank,
    seed_folders,
    values,
    written,
)
from .row import Row

#: Of claims.
_KINDS = 'paper', 'elsewhere', 'control'
#: How a verdict is coloured.
CLASSES = {HOLDS: 'holds', FAILS: 'fails', OPEN: 'open'}
#: Drawn of the runs that have stages: beginning of what was logged, label, whether logarithmic.
CURVES = (('forgetting/', 'Forgetting: held-out loss of old tasks, now minus when finished',
           'loss, now - then', False),
          ('gradient_norm_ratio/', 'a-b: length of a\'s gradient on the backbone by that of b\'s; '
           'of an old task it is that of what keeps it', 'ratio', True),
          ('gradient_cosine/', 'Cosine of the tasks\' gradients on the backbone', 'cosine', False))


def write_report(tables: Sequence[Tuple[PaperTable, Path]], path: Path, title: str, what: str,
                 bounds: Optional[Mapping[str, Sequence[Bound]]] = None) -> Path:
    """Writes it, of all results that are there, and all claims as ``<its name>_claims.csv``.

    Args:
        tables (sequence): With the folders of their results.
        path (Path): Of the file.
        title, what (str): Above it.
        bounds (mapping[str, sequence[Bound]], optional): What must hold of tables, by their names.

    Returns:
        Path: The file.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    shown = [(table, out, found) for table, out in tables if (found := table.found(out))]
    subjects = [_subject(name, [part for part in shown if subject_of(part[0]) == name])
                for name in CLAIMS if any(subject_of(table) == name for table, _, _ in shown)]
    made, warnings = _made(list(_each(shown)))
    # Tables have rows in common.
    warnings += dict.fromkeys(line for table, _, results in shown
                              for line in mixed(table, results))
    environment = Environment(loader=FileSystemLoader(PACKAGE / 'reproduce'), autoescape=True,
                              trim_blocks=True, undefined=StrictUndefined)
    page = environment.get_template('report.html.jinja').render(
        title=title, what=what, warnings=warnings, classes=CLASSES, made=made, subjects=subjects,
        tables=[dict(_table(table, out, found), bounds=[
            dict(cells=bound.cells(), verdict=HOLDS if bound.holds else FAILS)
            for bound in (bounds or {}).get(table.name, ())]) for table, out, found in shown])
    write_atomically(path, page)
    write_atomically(path.with_name(f'{path.stem}_claims.csv'), _claims_csv(subjects))
    return path


def _claims_csv(subjects: Sequence[Mapping[str, Any]]) -> str:
    return csv_text([
        ['of', 'claim', 'section', 'column', 'seeds', 'difference', 'paper', 'verdict',
         'q', 'seeds needed'],
        *([subject['name'], *(one[key] for key in (
            'text', 'section', 'column', 'count', 'here', 'paper', 'verdict', 'rate', 'needed'))]
          for subject in subjects for kind in subject['claims'].values() for one in kind)])


def subject_of(table: PaperTable) -> str:
    """Its key in :data:`CLAIMS`: its own name, ``sound`` or ``pictures``."""
    if table.name in CLAIMS:
        return table.name
    return 'sound' if any(column.run.startswith('s3r') for column in table.columns) else 'pictures'


def _table(table: PaperTable, out: Path, results: Mapping[str, Found]) -> Dict[str, Any]:
    ranks = {column.title: rank(results, column) for column in table.columns}
    columns = [column for column in table.columns if ranks[column.title]]
    rows = []
    for key, found in results.items():
        row, cells = table.rows[key], []
        for column in columns:
            got = values(found, column)
            cells.append(dict(
                here=written(interval(list(got.values())), column.digits) if got else '-',
                rank=ranks[column.title].get(key), paper=in_paper(row, column)))
        taken = _cost(table, out, key, found)
        rows.append(dict(
            title=row.title, cells=cells, kind=_kind(key, row),
            seeds=len({seed for seeds in found.values() for seed in seeds}),
            steps=_amount(taken.get('steps')), samples=_amount(taken.get('samples')),
            seconds=_time(taken.get('seconds'))))
    figures = [dict(data=inlined(table.draw(results)), alt=table.figure)]
    return dict(name=table.name, title=table.title, caption=table.caption, rows=rows,
                columns=[column.title for column in columns], figures=figures,
                costs=any(row['steps'] for row in rows),
                gains=_gains(table, columns, results))


def _kind(key: str, row: Row) -> str:
    if key == 'random':
        return 'random'
    same = row.frozen and len(set(row.parts)) == 1
    return 'control' if key in CONTROLS or '_long' in key or same else ''


def _gains(table: PaperTable, columns: Sequence[Column], results: Mapping[str, Found]
           ) -> List[Dict[str, Any]]:
    """What rows gain over random features, paired over seeds, positive where better.

    With the share of the most that any row gains in a column.
    """
    gains: Dict[str, Dict[str, Interval]] = {}
    for column in columns:
        nothing, sign = values(results.get('random', {}), column), -1 if column.below else 1
        for key, found in results.items():
            both = [sign * (value - nothing[seed]) for seed, value in values(found, column).items()
                    if seed in nothing]
            if key != 'random' and both:
                gains.setdefault(key, {})[column.title] = interval(both)
    most = {column.title: max((abs(row[column.title].mean) for row in gains.values()
                               if column.title in row), default=0.) or 1. for column in columns}
    return [dict(title=table.rows[key].title, cells=[
        dict(text=written(row[c.title], c.digits, '+'), share=row[c.title].mean / most[c.title])
        if c.title in row else dict(text='-', share=0.) for c in columns])
        for key, row in gains.items()]


def _cost(table: PaperTable, out: Path, key: str, found: Found) -> Dict[str, float]:
    """Of a row's encoder, the mean over its seeds."""
    costs: Dict[str, Dict[str, float]] = {}
    for seeds in found.values():
        for seed, metrics in seeds.items():
            if 'made' in metrics:
                costs[seed] = metrics['made']['cost']
            elif seed not in costs:
                taken = cost(named_trainings(table.rows, out / seed, key))
                costs.update({seed: taken} if taken['steps'] else {})
    return {name: interval([taken[name] for taken in costs.values()]).mean
            for name in ('steps', 'samples', 'seconds')} if costs else {}


def _amount(count: Optional[float]) -> str:
    return '' if count is None else f'{count:,.0f}'


def _time(seconds: Optional[float]) -> str:
    if seconds is None:
        return ''
    return f'{seconds:.0f} s' if seconds < 120 else f'{seconds / 60:.1f} min' \
        if seconds < 7200 else f'{seconds / 3600:.1f} h'


def _subject(name: str, parts: Sequence[Tuple[PaperTable, Path, Mapping[str, Found]]]
             ) -> Dict[str, Any]:
    """Claims and curves over the rows of all tables that share a folder."""
    results: Dict[str, Found] = {}
    logged: Dict[str, List[Dict[str, Any]]] = {}
    for table, out, found in parts:
        results.update(found)
        for key in found:
            watched_of = [_curves(path, key) for path in seed_folders(out)]
            if any(watched_of):
                logged[table.rows[key].title] = [one for one in watched_of if one]
    checked = check(name, results)
    drawn = ((watched(logged, beginning, label, log), alt)
             for beginning, alt, label, log in CURVES)
    return dict(
        name=name, any=bool(checked), counts=counted(checked),
        claims={kind: _spanned([_claim(name, one) for one in checked if one.kind == kind])
                for kind in _KINDS},
        surviving={kind: surviving([one for one in checked if one.kind == kind])
                   for kind in _KINDS},
        curves=[dict(data=inlined(figure), alt=alt) for figure, alt in drawn if figure])


def _curves(folder: Path, key: str) -> Optional[Dict[str, Any]]:
    """What a row's run has logged on its way, by its file or, of earlier versions, its logs."""
    path = folder / f'{key}_curves.json'
    return read_json(path) if path.is_file() else curves(folder / key)


def _claim(subject: str, checked: Checked) -> Dict[str, Any]:
    rows, digits = CLAIMS[subject][1], max(checked.column.digits, 1)
    found, claim = checked.difference, checked.claim
    here = ''
    if found is not None:
        here = f'{found.mean:+.{digits}f}'
        if found.low is not None:
            here += f' [{found.low:+.{digits}f}, {found.high:+.{digits}f}]'
    better, worse = rows[claim.better], rows[claim.worse]
    unlike = checked.column.trains and better.frozen != worse.frozen
    return dict(
        text=f'{better.title} better than {worse.title}' +
        unlike * f' ({"frozen" if better.frozen else "trained"} against '
        f'{"frozen" if worse.frozen else "trained"})',
        section=claim.section, column=checked.column.title, here=here,
        paper='' if checked.paper is None else f'{checked.paper:+.{max(2, digits)}f}',
        count=found.seeds if found else 0, verdict=checked.verdict,
        rate='' if checked.rate is None else f'{checked.rate:.3f}',
        needed=checked.seeds or ('more than 1,000' if found and found.deviation and (
            checked.paper is None or checked.paper > 0) else ''),
        **{'class': CLASSES[checked.verdict]})


def _each(shown: Sequence[Tuple[PaperTable, Path, Mapping[str, Found]]]
          ) -> Iterator[Mapping[str, Any]]:
    """Metrics of every evaluation, those that several rows, columns or tables have once."""
    seen = set()
    for _, out, results in shown:
        for key, found in results.items():
            for run, seeds in found.items():
                for seed, metrics in seeds.items():
                    name = metrics.get('made', {}).get('of') or (out, key, run, seed)
                    if name not in seen:
                        seen.add(name)
                        yield metrics


def _spanned(claims: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """With how many follow each other of the same text, at the first of them."""
    spanned = []
    for _, group in groupby(claims, lambda claim: claim['text']):
        its = list(group)
        spanned += [dict(claim, span=len(its) * (i == 0)) for i, claim in enumerate(its)]
    return spanned


def _made(every: Sequence[Mapping[str, Any]]) -> Tuple[List[str], List[str]]:
    """What results say of their origin, and what is to be said before them."""
    known = [metrics['made'] for metrics in every if 'made' in metrics]
    lines = [f'{len(every)} results of evaluations']
    for label, key in (('computed on', 'device'), ('code', 'codes')):
        counts = Counter(', '.join(value) if isinstance(value, list) else str(value)
                         for made in known for value in [made.get(key, 'unknown')])
        lines += [f'{label}: {name} ({count} results)' for name, count in counts.most_common()]
    commits = Counter(_commit(made) for made in known)
    lines += [f'commit: {name} ({count} results)' for name, count in commits.most_common()]
    versions = {f'{package} {version}' for metrics in every
                for source in [metrics.get('made', metrics)]
                for package, version in (source.get('versions') or {}).items()}
    lines += [f'versions: {", ".join(sorted(versions))}'] if versions else []
    return lines, list(_warnings(every, known))


def _commit(made: Mapping[str, Any]) -> str:
    git = made.get('git') or {}
    return f'{git.get("commit", "unknown")[:12]}{" with changes" if git.get("dirty") else ""}'


def _warnings(every: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]
              ) -> Iterator[str]:
    if len(known) < len(every):
        yield (f'{len(every) - len(known)} of {len(every)} results do not say what they were made '
               'of (they are of an earlier version), so that nothing of them was checked.')
    codes = {code for made in known for code in made.get('codes', ())}
    if len(codes) > 1:
        yield (f'The results were made by {len(codes)} states of the code; --fresh makes anew what '
               'other code than the present one has made.')
