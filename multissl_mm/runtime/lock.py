"""One run at a time in a work directory."""
import errno
import os
import shutil
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Callable, Dict, Iterator, Union

from ..errors import MultiSSLError
from ..utils.files import not_written

#: Seconds that a run waits for one that is just ending, as after a restart.
WAIT = 10.
#: Bytes that logs and the config take.
LEAST = 1 << 20
#: The file in a folder that is locked; it stays.
LOCK = '.lock'
_held: Dict[str, IO[str]] = {}


def hold(work_dir: Union[str, Path]) -> None:
    """Takes a work directory for this process, until it ends in whichever way.

    A POSIX lock: workers that outlive a killed run do not have it, and NFS knows it. Where the
    file system has none it is said, and the run goes on.

    Raises:
        MultiSSLError: If another process has it, or nothing can be written there.
    """
    path = Path(work_dir, LOCK).absolute()
    if str(path) in _held:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, 'a+')
        if shutil.disk_usage(path.parent).free < LEAST:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as e:
        raise MultiSSLError(f'{work_dir}: nothing can be written there ({e.strerror}); choose '
                            'another --work-dir, or mend that') from e
    end = time.monotonic() + WAIT
    while not _taken(file, work_dir):
        if time.monotonic() > end:
            owner = _owner(file)
            file.close()
            raise MultiSSLError(f'{work_dir} is in use by another run ({owner}); wait for it, or '
                                'choose another --work-dir')
        time.sleep(.2)
    _held[str(path)] = file


@contextmanager
def alone(path: Path, waiting: Callable[[str], None], stopped: Callable[[], bool]
          ) -> Iterator[None]:
    """What one process at a time does, whoever comes second after the first.

    Args:
        path (Path): Of the file that is locked; it stays. Its folder is made where needed.
        waiting (callable): Told once who has it, if anybody.
        stopped (callable): Whether to wait no longer.

    Raises:
        MultiSSLError: If it was to wait no longer, or nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, 'a+')
    except OSError as error:
        raise not_written(error.filename or path, error) from error
    with file:
        said = False
        while not _taken(file, path):
            if stopped():
                raise MultiSSLError(f'{path} is held by {_owner(file)}: asked to stop')
            if not said:
                waiting(_owner(file))
                said = True
            time.sleep(.2)
        yield


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """A block in which no other process writes to a folder; who comes second waits, and says so.

    Raises:
        MultiSSLError: If nothing can be written there.
    """
    with alone(folder / LOCK, lambda owner: print(
            f'{folder}: waits for {owner}, which writes there', flush=True), lambda: False):
        yield


def _taken(file: IO[str], what: Union[str, Path]) -> bool:
    """Whether this process has a file for itself now, and writes its name to it.

    Also where nobody can: on Windows, and where the file system has no locks, which is said.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        if e.errno in (errno.EACCES, errno.EAGAIN):
            return False
        print(f'[lock] {what}: its file system has no locks ({e.strerror}); see that no other run '
              'uses it')
    with suppress(OSError):  # a disk that is full: it is locked all the same
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    return True


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or 'unknown'
