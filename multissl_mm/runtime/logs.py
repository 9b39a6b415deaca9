"""Logs that cannot be written end no run."""
import logging
import sys
from functools import wraps
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

    def forgiving(write: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(write)
        def written(*args: Any, **kwargs: Any) -> Any:
            try:
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
            setattr(backend, name, forgiving(getattr(backend, name)))
