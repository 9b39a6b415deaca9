"""Processes that share work, and neither outlive nor delay the end of who started them."""
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

from .stopping import SIGNALS


def cores() -> int:
    """That this process may use, which a cluster's jobs may have fewer of than there are."""
    affinity = getattr(os, 'sched_getaffinity', None)  # Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int, prepare: Optional[Callable[[], Any]] = None
                ) -> Iterator[ProcessPoolExecutor]:
    """An executor of at least one process.

    Where the block ends by an error, or since it was asked to stop, what still runs is killed:
    it may have gone on for minutes. When its parent is killed, a worker ends by itself. (Those of
    the standard library would wait for work for ever.)

    Args:
        workers (int): Processes.
        prepare (callable, optional): Called in each of them first.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(max(workers, 1), initializer=_begin, initargs=(prepare, ))
    try:
        yield pool
    except BaseException:
        for worker in set(multiprocessing.active_children()) - before:
            worker.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(prepare: Optional[Callable[[], Any]]) -> None:
    # A terminal and schedulers signal all processes of a job: the parent decides.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
