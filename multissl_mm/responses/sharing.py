"""Hours of work shared among ranks, without a collective that would time out."""
import time
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Generic, Iterator, Sequence, TypeVar

from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from torch.distributed import DistError, HashStore, PrefixStore, Store, distributed_c10d

from ..errors import MultiSSLError
from ..utils.files import write_atomically
from ..utils.heartbeats import ask, lost, named
from ..utils.stopping import Interrupted, requested

#: Seconds after which a folder that does not show another rank's file is not shared: network file
#: systems keep what they knew of a folder for up to a minute, but mostly for a few seconds.
VISIBLE_WITHIN = 20.
#: Seconds without any rank finishing a piece of work after which the others give up waiting for one
#: that still gives signs of life; without any they wait as long as a collective does.
STALLED_AFTER = 3600.
#: Seconds that a rank which fails takes to tell the others, who may be those that it fails for.
TOLD_WITHIN = 10.

T = TypeVar('T')


class SharedWork(Generic[T]):
    """Pieces of work that the ranks of a run take as they go.

    A fast rank does more of them; nobody waits in a collective, whose time-out (ten minutes with
    NCCL) is no measure for hours of work. The count is kept in the store that the ranks met at.
    All methods may raise that a rank is lost, which may be the one with the store.

    Args:
        key (str): The same on all ranks, and never used before.
        pieces (sequence): The same on all ranks.
    """

    def __init__(self, key: str, pieces: Sequence[T]) -> None:
        self.pieces = pieces
        self._store: Store = HashStore()
        if get_world_size() > 1:  # torch has no public name for the store that ranks met at
            self._store = PrefixStore(f'multissl_mm/{key}', distributed_c10d._get_default_store())

    def take(self) -> Iterator[T]:
        """Pieces that nobody else does, until there are none left or another rank has failed.

        Raises:
            MultiSSLError: If the rank with the store is lost.
            Interrupted: As :meth:`stop_if_asked`.
        """
        while True:
            self.stop_if_asked()
            nth = self._add('taken', 1) - 1
            if nth >= len(self.pieces) or self._add('failed'):
                return
            yield self.pieces[nth]
            self._add('finished', 1)

    def stop_if_asked(self) -> None:
        """Ends all ranks where one was asked to stop; to be called often.

        Raises:
            Interrupted: Finished pieces are kept.
        """
        if requested() or self._add('stopped'):
            self._add('stopped', 1)
            raise Interrupted(f'asked to stop: {self.finished()} of {len(self.pieces)} pieces of '
                              'work are kept; the same command with --resume goes on with the '
                              'others')

    def finished(self) -> int:
        """How many pieces all ranks have finished so far."""
        return self._add('finished')

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around the work of a rank: ends when all ranks have done theirs.

        Raises:
            MultiSSLError: If another rank has failed or is lost, or nothing is finished any more.
        """
        try:
            yield
        except BaseException:
            wait([ask(lambda: self._store.add('failed', 1))], TOLD_WITHIN)
            raise
        self._add(f'ready{get_rank()}', 1)
        self._wait()

    def _wait(self) -> None:
        seen, since = -1, time.monotonic()
        while late := [r for r in range(get_world_size()) if not self._add(f'ready{r}')]:
            self.stop_if_asked()
            if self._add('failed'):
                raise MultiSSLError('another process could not do its part; its message says why')
            self._check_lives()
            finished = self.finished()
            if finished != seen:
                seen, since = finished, time.monotonic()
            if time.monotonic() - since > STALLED_AFTER:
                raise MultiSSLError(
                    f'waited {STALLED_AFTER / 3600:g} h for {named(late)}, but {finished} of '
                    f'{len(self.pieces)} pieces of work are finished and none was added: it hangs. '
                    'What is recorded is kept: resume')
            time.sleep(min(.1 * (1 + time.monotonic() - since), 2.))

    def _add(self, key: str, amount: int = 0) -> int:
        answer = ask(lambda: self._store.add(key, amount))
        while not wait([answer], 1.).done:
            self._check_lives()
        try:
            return answer.result()
        except DistError as error:
            raise MultiSSLError('the process that holds the store of all ranks (rank 0, or torchrun'
                                ' on its machine) has ended; its message says why, or it was '
                                'killed. What is recorded is kept: resume') from error

    @staticmethod
    def _check_lives() -> None:
        if silent := lost():
            raise MultiSSLError(
                f'no sign of life of {named(silent)} for env_cfg.dist_cfg.timeout (default: '
                '600 s): stopped, or its machine is lost. What is recorded is kept: resume')


def check_shared(folder: Path, token: str, what: str) -> None:
    """Makes sure that all ranks see what rank 0 writes into a folder.

    Args:
        folder (Path): In which there is room for a small file.
        token (str): The same on all ranks, and never used before.
        what (str): The config key that names the folder, for the error.

    Raises:
        MultiSSLError: On all ranks, if one of them does not.
    """
    if get_world_size() == 1:
        return
    path = folder / f'.{token}'
    if is_main_process():
        write_atomically(path, '')
    every_rank(until(path.is_file), f'{folder} is not the same folder for all processes, so that '
               f'none could read what the others keep; set {what} to one that is')
    if is_main_process():
        path.unlink()


def until(holds: Callable[[], bool]) -> bool:
    """Whether something holds now or in the time that a network file system may take."""
    end = time.monotonic() + VISIBLE_WITHIN
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(.2)
    return True


def every_rank(holds: bool, otherwise: str) -> None:
    """Ends all ranks with the same sentence if something does not hold on one of them.

    Raises:
        MultiSSLError: ``otherwise``, with the ranks.
    """
    ranks = [rank for rank, held in enumerate(all_gather_object(holds)) if not held]
    if ranks:
        raise MultiSSLError(f'{otherwise} (noticed by rank {", ".join(map(str, ranks))})')
