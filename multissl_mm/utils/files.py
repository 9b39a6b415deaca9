"""Files that are whole or not there."""
import glob
import os
import secrets
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union


def partial_path(path: Union[str, Path]) -> Path:
    """A name beside ``path`` that no other writer has, on this machine or another.

    It says which machine and which process writes, by which :func:`remove_leftovers` knows.
    """
    path = Path(path)
    return path.with_name(f'.{path.name}.{_machine()}.{os.getpid()}.{secrets.token_hex(4)}.partial')


@contextmanager
def replacing(path: Union[str, Path], sync: bool = False) -> Iterator[Path]:
    """Gives a name to write under; when the block is over the file is ``path``.

    If the block fails nothing is left. The folder is made where needed.

    Args:
        path (str): The file that is to be whole or not there; an older one is replaced.
        sync (bool): Wait until the bytes are on disk before it is renamed, so that a power cut
            cannot leave an empty one. Defaults to False: a file that is quickly made again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = partial_path(path)
    try:
        yield part
        if sync:
            with open(part, 'rb') as file:
                os.fsync(file.fileno())
        os.replace(part, path)
    finally:  # what failed, or a link to what `path` is already, which no rename takes away
        part.unlink(missing_ok=True)


def write_atomically(path: Union[str, Path], data: Union[str, bytes]) -> None:
    """Writes text or bytes by :func:`replacing`; several may write the same file."""
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def remove_leftovers(path: Union[str, Path]) -> None:
    """Removes what killed processes of this machine left of ``path`` when they were writing it."""
    path = Path(path)
    begin = f'.{path.name}.{_machine()}.'
    for part in path.parent.glob(f'{glob.escape(begin)}*.partial'):
        pid = part.name[len(begin):].partition('.')[0]
        if pid.isdigit() and not _is_running(int(pid)):
            part.unlink(missing_ok=True)


def _machine() -> str:
    # Containers may share the name of their host, but count their processes on their own.
    try:
        processes = os.stat('/proc/self/ns/pid').st_ino
    except OSError:  # not Linux
        processes = 0
    return f'{socket.gethostname()}-{processes}'


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True
