"""A run that is asked to stop: by a scheduler, an administrator, or Ctrl-C."""
import os
import signal
import threading
import time
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Iterator, Optional

#: What schedulers send before they end a job (SIGTERM; SIGUSR1 or SIGUSR2 where users choose it),
#: and Ctrl-C.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
#: Seconds that a loader's worker outlives a SIGTERM, so that its run can go on to a checkpoint.
WORKERS_LIVE_ON = 60
#: ``EX_TEMPFAIL`` of sysexits.h: nothing is wrong, try again later.
TRY_AGAIN = 75

_received: Optional[int] = None
_since = 0.


class Interrupted(SystemExit):
    """Ends a run that was asked to stop, once what it has done is kept.

    Args:
        message (str): What is kept and how to go on.
    """

    def __init__(self, message: str) -> None:
        super().__init__(TRY_AGAIN)
        self.message = message


def requested() -> Optional[str]:
    """The name of the first signal that asked this process to stop; None as long as none has."""
    return None if _received is None else signal.Signals(_received).name


@contextmanager
def listening() -> Iterator[None]:
    """A block in which signals that ask a process to stop are noted, see :func:`requested`.

    The block itself decides when to look; who presses Ctrl-C again after a second will not wait
    for that. In a thread other than the main one, which cannot choose, signals do what they did.
    """
    global _received
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received = None


def _note(number: int, frame: Optional[FrameType]) -> None:
    global _received, _since
    if _received is None:
        _received, _since = number, time.monotonic()
    elif number == signal.SIGINT and time.monotonic() - _since > 1:  # launchers repeat at once
        raise KeyboardInterrupt


class OutliveSignals:
    """``worker_init_fn`` of a loader whose workers a scheduler's SIGTERM does not end at once.

    Schedulers signal all processes of a job. Without its workers a run could not go on to the step
    on which its ranks agree. Other signals are but noted, by the handlers of :func:`listening`,
    which workers inherit.

    Args:
        then (callable, optional): The loader's own ``worker_init_fn``.
    """

    def __init__(self, then: Optional[Callable[[int], Any]] = None) -> None:
        self.then = then

    def __call__(self, worker: int) -> None:
        """Called in a worker, with its number, after torch has set handlers of its own."""
        if hasattr(signal, 'sigwaitinfo'):  # not on macOS
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=_live_on, args=(os.getppid(), ), daemon=True).start()
        if self.then is not None:
            self.then(worker)


def _live_on(parent: int) -> None:
    """Ends a worker at the SIGTERM of its parent, or a while after anybody else's."""
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid in (parent, os.getpid()):
            os._exit(0)
        signal.alarm(WORKERS_LIVE_ON)
