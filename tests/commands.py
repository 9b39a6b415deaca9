"""Tools as their users start them, in this process."""
import io
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple
from unittest.mock import patch

from multissl_mm.utils.project import project_folder


class Done(NamedTuple):
    """What a command left: its exit status and what it printed."""
    status: int
    out: str
    err: str


def run_tool(name: str, *arguments: object) -> Done:
    """Runs a tool by its path in ``tools/``; whatever ends it, but for a bug of ours, is said."""
    path = str(project_folder() / 'tools' / name)
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), \
            patch.object(sys, 'argv', [path, *map(str, arguments)]):
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as stop:
            status = int(stop.code) if isinstance(stop.code, (int, type(None))) and stop.code \
                else int(bool(stop.code))
            if isinstance(stop.code, str):
                err.write(stop.code)
    return Done(status, out.getvalue(), err.getvalue())
