"""Logs that cannot be written end no run."""
import logging
import os
import sys
from functools import partial, wraps
from typing import Any, Callable, List, Optional

from mmengine.runner import Runner


def forgive_logs(runner: Runner) -> None:
    """Lets a run go on where its logs cannot be written, as on a full disk; it says so once.

    That is, MMEngine's log file and what its visualizer writes. Checkpoints are another matter.
    """
    said: List[OSError] = []

    def say(error: Optional[BaseException]) -> bool:
        if isinstance(error, OSError) and not said:
            said.append(error)
            print(f'[logs] {runner.work_dir}: logs cannot be written ({error.strerror or error}); '
                  'the run goes on, these lines are lost', file=sys.stderr, flush=True)
        return isinstance(error, OSError)

    def forgiving(write: Callable[..., Any], file: Callable[[], str]) -> Callable[..., Any]:
        @wraps(write)
        def written(*args: Any, **kwargs: Any) -> Any:
            try:
                if said:
                    _end_line(file())  # of which a part was written
                return write(*args, **kwargs)
            except OSError as error:
                say(error)
        return written

    def handling(handler: logging.Handler) -> Callable[[logging.LogRecord], None]:
        usual = handler.handleError

        def handle(record: logging.LogRecord) -> None:
            if not say(sys.exc_info()[1]):
                usual(record)
        return handle

    for handler in runner.logger.handlers:
        if isinstance(handler, logging.FileHandler):
            vars(handler)['handleError'] = handling(handler)
    for backend in runner.visualizer._vis_backends.values():
        for name in ('add_scalar', 'add_scalars'):
            setattr(backend, name, forgiving(getattr(backend, name), partial(
                getattr, backend, '_scalar_save_file', '')))


def _end_line(path: str) -> None:
    """So that what is written next to a log is a line of its own."""
    if os.path.isfile(path) and os.path.getsize(path):
        with open(path, 'rb+') as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b'\n':
                file.write(b'\n')
