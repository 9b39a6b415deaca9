"""One run at a time in a work directory."""
import errno
import os
import shutil
import socket
import time
from pathlib import Path
from typing import IO, Dict, Union

from ..errors import MultiSSLError

#: Seconds that a run waits for one that is just ending, as after a restart.
WAIT = 10.
#: Bytes that logs and the config take.
LEAST = 1 << 20
_held: Dict[str, IO[str]] = {}


def hold(work_dir: Union[str, Path]) -> None:
    """Takes a work directory for this process, until it ends in whichever way.

    A POSIX lock: workers that outlive a killed run do not have it, and NFS knows it. Where the
    file system has none it is said, and the run goes on.

    Raises:
        MultiSSLError: If another process has it, or nothing can be written there.
    """
    path = Path(work_dir, '.lock').absolute()
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
    try:
        import fcntl
    except ImportError:  # Windows
        return
    end = time.monotonic() + WAIT
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as e:
            if e.errno not in (errno.EACCES, errno.EAGAIN):
                print(f'[lock] {work_dir}: its file system has no locks ({e.strerror}); see that '
                      'no other run uses it')
                break
            if time.monotonic() > end:
                file.seek(0)
                owner = file.read().strip() or 'unknown'
                file.close()
                raise MultiSSLError(f'{work_dir} is in use by another run ({owner}); wait for it, '
                                    'or choose another --work-dir') from e
            time.sleep(.2)
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    _held[str(path)] = file
