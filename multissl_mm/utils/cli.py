"""What every command-line tool of the project does about errors."""
import atexit
import errno
import io
import os
import sys
from argparse import ArgumentTypeError
from contextlib import contextmanager
from typing import Callable, Iterable, Iterator, TypeVar

from ..errors import MultiSSLError
from .build_errors import fault_of_config
from .stopping import TRY_AGAIN, Ended, Interrupted, deaf, ending

T = TypeVar('T')


def run_tool(main: Callable[[], None]) -> None:
    """Runs a tool; an error that its user caused is one or two lines and exit status 1.

    So is a signal that asks it to stop, but for the status, which is 128 and the signal's number,
    or of a training, which keeps what it has done, 75.

    With ``--traceback`` on the command line or ``MULTISSL_TRACEBACK=1`` in the environment, and
    for any other error, Python's traceback is printed as usual.
    """
    trace = '--traceback' in sys.argv or os.environ.get('MULTISSL_TRACEBACK', '0') not in ('', '0')
    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be UTF-8, and what has been done is not to end in printing one.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == 'strict':
            stream.reconfigure(errors='backslashreplace')
    try:
        with ending(), _others_load_tensors_alone():
            main()
    except Ended as e:
        print(f'{_rank()}{e.message}', file=sys.stderr)
        raise
    except Interrupted as e:
        with deaf():  # a launcher signals the others once one has ended, whose status is to be 75
            print(f'{_rank()}{e.message}', file=sys.stderr)
            _leave_group(TRY_AGAIN)
        raise
    except (MultiSSLError, OSError, KeyError, TypeError) as e:
        # An unknown `type` is MMEngine's KeyError; other KeyErrors and TypeErrors are bugs of ours,
        # but where MMEngine builds what a config says.
        message = fault_of_config(e)
        if trace or message is None and (
                isinstance(e, TypeError) or
                isinstance(e, KeyError) and 'registry' not in str(e) or
                isinstance(e, OSError) and e.errno not in _REFUSED):
            raise
        print(f'{_rank()}error: {message or _message(e)}', file=sys.stderr)
        sys.exit(1)
    _leave_group(0)


@contextmanager
def _others_load_tensors_alone() -> Iterator[None]:
    # What others load by themselves, such as the queue of SwAV: before torch 2.6 that ran what a
    # file holds. Our own loads see to themselves, see `utils/safe_load.py`.
    before = os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD')
    os.environ.setdefault('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    try:
        yield
    finally:
        if before is None:
            os.environ.pop('TORCH_FORCE_WEIGHTS_ONLY_LOAD', None)


def _rank() -> str:
    return f'[rank {os.environ["RANK"]}] ' if 'RANK' in os.environ else ''


def progress_bar(items: Iterable[T], total: int, what: str, shown: bool = True) -> Iterator[T]:
    """The same items, with a bar on stderr of how many of ``total`` have come."""
    from rich.console import Console
    from rich.progress import track
    return iter(track(items, what, total, console=Console(stderr=True), disable=not shown))


def positive(text: str) -> int:
    """A whole number from 1 on, as ``type`` of an option."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f'{number} is not a whole number from 1 on')
    return number


def _leave_group(status: int) -> None:
    # Threads of the group may still let go of tensors. One that does so while the interpreter ends
    # is killed in the middle of it, and takes the process along ("terminate called without an
    # active exception"); and as long as a model in DDP is there they are, too, even without the
    # group. So a rank that is through ends without that. Not where another rank has failed: this
    # would wait for it. A group of gloo is not taken apart: that would wait for these threads, and
    # they, on their way out of the last exchange, may wait for Python; with torch 2.4 for ever.
    import torch.distributed as dist  # errors of options come without loading torch
    if dist.is_available() and dist.is_initialized():
        if dist.get_backend() != 'gloo':
            dist.destroy_process_group()
        _end(status)


def _end(status: int) -> None:
    """Ends this process as the interpreter does, but for taking itself apart."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


#: What the system says where nothing is wrong with a program: of names, of rights, of disks, and
#: of how much one may have.
_REFUSED = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES,
            errno.EPERM, errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
            errno.EMFILE, errno.ENFILE)


def _message(error: Exception) -> str:
    if isinstance(error, FileNotFoundError) and error.filename:
        return f'{error.filename}: no such file or directory'
    if isinstance(error, OSError) and error.strerror:
        return f'{error.filename or "a file, which the system does not name"}: {error.strerror}'
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    # Raised in a worker of a data loader, the text is that worker's traceback.
    return text.rpartition(f'{type(error).__name__}: ')[2].strip()
