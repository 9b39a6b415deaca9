"""The shape of the package, as docs/architecture.md has it."""
import ast
import graphlib
from pathlib import Path
from typing import Dict, Iterator, Set

import tiny

PACKAGE = tiny.CONFIGS.parent / 'multissl_mm'
FILES = sorted(PACKAGE.rglob('*.py'))
#: Rooms from the bottom; imports run down, or stay on a level.
LEVELS = [{'errors', 'registry', 'version'}, {'utils'}, {'runtime'},
          {'datasets', 'models', 'simulation', 'compat'}, {'responses'}, {'engine'},
          {'evaluation', 'apis'}, {'analysis', 'benchmarks', 'converters', 'reproduce'}]


def imported(path: Path) -> Iterator[Path]:
    """Files of the package that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = path.parents[node.level - 1]
        elif (node.module or '').split('.')[0] == PACKAGE.name:
            base = PACKAGE.parent
        else:
            continue
        base = base.joinpath(*(node.module or '').split('.')) if node.module else base
        for alias in node.names:
            found = [base / f'{alias.name}.py', base / alias.name / '__init__.py',
                     base.with_suffix('.py'), base / '__init__.py']
            yield next(file for file in found if file.is_file())


GRAPH: Dict[Path, Set[Path]] = {path: set(imported(path)) - {path} for path in FILES}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def test_imports_run_down():
    level = {name: rank for rank, names in enumerate(LEVELS) for name in names}
    up = {f'{room(a)} -> {room(b)}: {a.name}' for a, targets in GRAPH.items() for b in targets
          if room(a) != '__init__' and room(b) != '__init__' and level[room(a)] < level[room(b)]}
    assert up == set()


def test_no_import_circles():
    """Neither among files nor among rooms."""
    tuple(graphlib.TopologicalSorter(GRAPH).static_order())
    rooms: Dict[str, Set[str]] = {}
    for path, targets in GRAPH.items():
        rooms.setdefault(room(path), set()).update(map(room, targets))
    tuple(graphlib.TopologicalSorter({a: b - {a} for a, b in rooms.items()}).static_order())


def test_no_file_is_long():
    assert {p.name: n for p in FILES if (n := p.read_text().count('\n')) > 350} == {}
