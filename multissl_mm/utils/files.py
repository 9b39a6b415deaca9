"""Files that are whole or not there."""
import glob
import json
import os
import secrets
import shutil
import socket
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterable, Iterator, Union

from ..errors import MultiSSLError

#: Whatever names a file or folder.
AnyPath = Union[str, Path]


@contextmanager
def atomic_path(path: AnyPath, durable: bool = True) -> Iterator[Path]:
    """A name to write to, which becomes ``path`` when the block ends and its bytes are on disk.

    The name is nobody else's, whether of another run or of another machine, so that several may
    write the same file; what a kill leaves of it is found by :func:`remove_leftovers`. The folder
    is made where needed.

    Args:
        path (str | Path): To write.
        durable (bool): Wait until the bytes are on disk, so that a power cut cannot leave an empty
            file under the good name. Thousands of small files that can be made again need not.

    Raises:
        MultiSSLError: If the system refuses to write (disk full, no permission); ``path`` is then
            as it was.
    """
    path = Path(path)
    part = path.with_name(  # not all of a name, which may be as long as the system allows
        f'.{path.name[:32]}.{_machine()}.{os.getpid()}.{secrets.token_hex(4)}.partial')
    try:
        if _is_stream(path):
            yield path  # in whose place there must be no file
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if durable:
            with open(part, 'rb') as f:
                os.fsync(f.fileno())
        os.replace(part, path)
    except OSError as e:
        raise not_written(path, e) from e
    finally:
        with suppress(OSError):  # it is not there, or is nowhere
            part.unlink()


def _is_stream(path: Path) -> bool:
    """Whether it is a device, a pipe, or what a process has open, such as ``/dev/stdout``."""
    names = [path, Path(os.readlink(path))] if path.is_symlink() else [path]
    return path.exists() and not (path.is_file() or path.is_dir()) or any(
        name.is_absolute() and name.parent.resolve().is_relative_to('/proc') for name in names)


def not_written(path: AnyPath, error: OSError) -> MultiSSLError:
    """What the system refused, with the name of the file or folder that is missing now."""
    return MultiSSLError(f'{path}: cannot be written ({error.strerror or error})')


def write_atomically(path: AnyPath, data: Union[str, bytes],
                     durable: bool = True) -> None:
    """Writes text or bytes, see :func:`atomic_path`."""
    with atomic_path(path, durable) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def read_json(path: AnyPath) -> Any:
    """What is in a JSON file.

    Raises:
        MultiSSLError: If it is not whole, as what an earlier program, or a copy, may have left.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except ValueError as e:
        raise MultiSSLError(f'{path}: not whole JSON ({e}); remove it') from e


def read_json_lines(path: AnyPath) -> Iterator[Any]:
    """What is in a log with JSON in every line.

    Lines that are torn, as a kill or a full disk leaves them, are left out, and it is said.
    """
    for number, text in enumerate(Path(path).read_bytes().splitlines(), 1):
        try:
            yield json.loads(text)
        except ValueError:
            print(f'{path}, line {number}: left out, it is not whole')


def check_folder(path: AnyPath) -> None:
    """For who is to write into a folder: looks whether it is one, or can be made.

    Raises:
        MultiSSLError: If a file is in its place.
    """
    path = Path(path).absolute()
    there = next(p for p in (path, *path.parents) if os.path.lexists(p))
    if not there.is_dir():
        raise MultiSSLError(f'{there} is {"a file" if there.exists() else "a link to nothing"}, '
                            'where a folder is to be written; give another name, or move it')


def existing(path: AnyPath) -> Path:
    """A path, or what is there of the folders above it: where it would be made."""
    path = Path(path).absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def free_bytes(path: AnyPath) -> int:
    """How much may be written to a file or folder, whether it is there or not."""
    return shutil.disk_usage(existing(path)).free


def kinds(paths: Iterable[AnyPath]) -> str:
    """How many files there are of each kind, for messages: ``3 .txt, 1 without suffix``."""
    counts = Counter(os.path.splitext(path)[1].lower() or 'without suffix' for path in paths)
    return ', '.join(f'{count} {kind}' for kind, count in counts.most_common())


def check_readable(path: AnyPath) -> None:
    """For who could not read a file: looks whether the system lets it be opened now.

    Raises:
        MultiSSLError: If it is there but the system does not (too many open files, permissions):
            then the file is not to blame, and the error has no ``file``.
    """
    try:
        open(path, 'rb').close()
    except FileNotFoundError:
        pass
    except OSError as e:
        raise MultiSSLError(f'{path}: the system could not read it ({e.strerror or e}); the file '
                            'itself may be whole') from e


def link_or_copy(source: AnyPath, target: AnyPath) -> None:
    """Another name for the same bytes, or a copy where the file system has no links."""
    with atomic_path(target) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def remove_leftovers(folder: AnyPath) -> None:
    """Removes what killed processes of this machine left in a folder of files they were writing.

    Those of running processes, which may be of another run, and of other machines stay.
    """
    for part in Path(folder).glob(f'.*.{glob.escape(_machine())}.*.partial'):
        pid = part.name.split('.')[-3]
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
