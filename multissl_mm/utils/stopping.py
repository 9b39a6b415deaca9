"""A run that is asked to stop: by a scheduler, an administrator, or Ctrl-C."""
import os
import signal
import threading
import time
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Iterable, Iterator, Optional, Union

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


class Ended(SystemExit):
    """Ends a command that was asked to stop where it was; by the status that shells know.

    Args:
        number (int): Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.message = f'ended by {signal.Signals(number).name}, before it was through'


def requested() -> Optional[str]:
    """The name of the first signal that asked this process to stop; None as long as none has."""
    return None if _received is None else signal.Signals(_received).name


@contextmanager
def listening() -> Iterator[None]:
    """A block in which signals that ask a process to stop are noted, see :func:`requested`.

    The block itself decides when to look; who presses Ctrl-C again after a second will not wait
    for that. In a thread other than the main one, which cannot choose, signals do what they did.
    """
    with _handled(SIGNALS, _note):
        yield


@contextmanager
def deaf() -> Iterator[None]:
    """A block in which signals that ask a process to stop do nothing: it is on its way out."""
    with _handled(SIGNALS, signal.SIG_IGN):
        yield


@contextmanager
def ending() -> Iterator[None]:
    """A block that a signal which asks a process to stop ends where it is, as an error would.

    So files and processes that it has begun are cleaned up; meanwhile further signals are but
    noted. What is ignored, as Ctrl-C by commands in the background of a script, stays so.

    Raises:
        Ended: A SystemExit.
    """
    heeded = [n for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN]
    with _handled(heeded, _end):
        try:
            yield
        except Interrupted:
            raise
        except BaseException as error:
            # Whatever came of it: a worker that the same signal has ended, for one.
            if _received is None or isinstance(error, Ended):
                raise
            raise Ended(_received) from None


@contextmanager
def later() -> Iterator[None]:
    """A short block that no signal ends in its middle; one that has come meanwhile does then."""
    asked = None
    with listening():
        yield
        if threading.current_thread() is threading.main_thread():
            asked = _received
    if asked is not None:
        signal.raise_signal(asked)


@contextmanager
def _handled(numbers: Iterable[int],
             handler: Union[signal.Handlers, Callable[[int, Optional[FrameType]], Any]]
             ) -> Iterator[None]:
    global _received
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, outer = {number: signal.signal(number, handler) for number in numbers}, _received
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
        _received = outer


def _end(number: int, frame: Optional[FrameType]) -> None:
    first = _received is None
    _note(number, frame)
    if first:
        raise Ended(number)


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


def let_outlive(loader: Any) -> None:
    """Makes the workers of a DataLoader :class:`OutliveSignals`, before it has started them."""
    if loader.num_workers and not isinstance(loader.worker_init_fn, OutliveSignals):
        loader.worker_init_fn = OutliveSignals(loader.worker_init_fn)


def _live_on(parent: int) -> None:
    """Ends a worker at the SIGTERM of its parent, or a while after anybody else's."""
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid in (parent, os.getpid()):
            os._exit(0)
        signal.alarm(WORKERS_LIVE_ON)
