"""Signs of life that the processes of a run give each other, whatever they wait for."""
import atexit
import os
import threading
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Callable, Dict, List, Optional, Tuple, TypeVar

from torch.distributed import Store

T = TypeVar('T')

#: Stands among ranks for the torchrun at which they met, where that is none of them.
LAUNCHER = -1


class Heartbeats:
    """A thread that says to the other ranks that this one lives, and listens to them.

    They meet at a store. It may be in rank 0, which may be stopped, so that the store does not
    answer: this thread goes on all the same.

    Args:
        store (Store): That all ranks have.
        rank (int): This one.
        world_size (int): How many there are.
        every (float): Seconds from one beat to the next.
        limit (float): Seconds without a sign of life after which a rank is :func:`lost`.
        progress (callable): How far this rank is.
        then (callable): Called after each beat.
    """

    def __init__(self, store: Store, rank: int, world_size: int, every: float, limit: float,
                 progress: Callable[[], int], then: Callable[[], None]) -> None:
        self.rank, self.every, self.limit = rank, every, limit
        #: Seconds. It stands still while this process is stopped, which then has heard of nobody.
        self.clock = 0.
        #: How far the ranks were when the store answered last.
        self.steps = [0] * world_size
        self._store, self._progress, self._then = store, progress, then
        self._heard: Dict[int, Tuple[int, float]] = {}  # the last beat of each rank, and its time
        self._answered = 0.
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Begins, and lets :func:`lost` know."""
        global _running
        _running = self
        self._exchanged = ask(self._exchange)
        self._thread.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Ends; no thread is in a call to the store any more, unless that does not answer."""
        global _running
        _running = None
        atexit.unregister(self.stop)
        self._end.set()
        self._thread.join(self.every)
        wait([self._exchanged], self.every)

    def answered(self, seconds: float) -> bool:
        """Whether the store has answered within so many of the last seconds."""
        return self.clock - self._answered <= seconds

    def silent(self, seconds: float) -> List[int]:
        """Ranks that have given no sign of life for so long; the store's, if it does not answer."""
        if not self.answered(seconds):
            agent = os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True'
            return [LAUNCHER if agent else 0]
        heard = list(self._heard.items())  # at once: another thread adds to it
        return [rank for rank, (_, when) in heard if self._answered - when > seconds]

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._end.wait(self.every):
            if self._exchanged.done():
                if self._exchanged.exception():  # the store has gone, and with it the job
                    return
                self._exchanged = ask(self._exchange)
            wait([self._exchanged], self.every)
            now = time.monotonic()
            self.clock += min(now - last, 2 * self.every)
            last = now
            with suppress(OSError):  # what it writes to has gone: this rank lives on
                self._then()

    def _exchange(self) -> None:
        now, ranks = self.clock, range(len(self.steps))
        self._store.set(f'progress{self.rank}', str(self._progress()))
        self._store.add(f'beats{self.rank}', 1)
        for rank in ranks:
            beats = self._store.add(f'beats{rank}', 0)
            if beats != self._heard.get(rank, (-1, 0.))[0]:
                self._heard[rank] = beats, now
        self.steps = [self._store.add(f'progress{rank}', 0) for rank in ranks]
        self._answered = now


_running: Optional[Heartbeats] = None


def lost() -> List[int]:
    """Ranks without a sign of life for as long as a collective would wait for them.

    None in a process that does not listen (:class:`Heartbeats`).
    """
    return _running.silent(_running.limit) if _running is not None else []


def named(ranks: List[int]) -> str:
    """The same ranks, in words."""
    if ranks == [LAUNCHER]:
        return 'torchrun on the machine of rank 0'
    return f'rank {", ".join(map(str, ranks))}'


def ask(question: Callable[[], T]) -> Future[T]:
    """The answer to come of a store, which answers late or never if its process is stopped."""
    answer: Future[T] = Future()

    def answering() -> None:
        try:
            answer.set_result(question())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=answering, daemon=True).start()  # a pool's would be waited for at exit
    return answer
