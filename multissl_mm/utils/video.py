"""PyAV, which only what reads or writes MP4 needs: opening videos, and turning their pictures."""
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, Tuple, Union

import numpy as np
from mmengine.utils import digit_version

from ..errors import MultiSSLError

#: Quarter turns to the left, by the first row (a, b) of a display matrix without mirroring.
_TURNS = {(1, 0): 0, (0, -1): 1, (-1, 0): 2, (0, 1): 3}


def import_av() -> ModuleType:
    """The package ``av``.

    Raises:
        MultiSSLError: If it is not installed; names the extra that installs it.
    """
    try:
        import av
    except ImportError as error:
        raise MultiSSLError(f'video is read and written with the package av ({error}); pip install '
                            '"multissl_mm[video]"') from error
    return av


@contextmanager
def open_video(path: Union[str, Path]) -> Iterator[Tuple[Any, Any]]:
    """A file of video, and the first stream of pictures in it.

    Raises:
        MultiSSLError: Names the file, if it has no such stream, or if it, or what the block reads
            of it, cannot be decoded.
    """
    av = import_av()
    try:
        with av.open(str(path), **_of_titles(av)) as file:
            if not file.streams.video:
                kinds = ', '.join(sorted({stream.type for stream in file.streams})) or 'nothing'
                raise MultiSSLError(f'{path} has no pictures in it, only {kinds}: it is no video; '
                                    'restore it')
            yield file, file.streams.video[0]
    except (av.FFmpegError, OSError) as error:
        raise MultiSSLError(f'{path} cannot be decoded ({error}); restore it') from error


def _of_titles(av: ModuleType) -> Dict[str, str]:
    # A title that is no UTF-8 is no matter; since 19 it is none to PyAV, which has lost the option.
    return dict(metadata_errors='replace') if digit_version(av.__version__) < (19, ) else {}


def _rgb(frame: Any) -> np.ndarray:
    # Threads of its own would be missing where a process forked from this one frees them: it would
    # wait for ever. Older versions of av have one thread, and no such argument.
    try:
        return frame.to_ndarray(format='rgb24', threads=1)
    except TypeError:
        return frame.to_ndarray(format='rgb24')


def upright(frame: Any, path: Union[str, Path]) -> np.ndarray:
    """A frame turned as its file says that it is to be shown: (H, W, 3), uint8, RGB.

    Players turn pictures so; what does not has left and right swapped against the sound.

    Raises:
        MultiSSLError: If that is mirrored, or no quarter turn.
    """
    picture = _rgb(frame)
    matrix = frame.side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return picture
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5] / 65536
    unit = max(abs(a), abs(b))
    turn = _TURNS.get((round(a / unit), round(b / unit))) if unit else None
    if turn is None or abs(abs(a * d - b * c) - unit * unit) > .01 * unit * unit or \
            a * d < b * c or min(abs(a), abs(b)) > .01 * unit:
        raise MultiSSLError(f'{path} is to be shown mirrored, or turned by no multiple of '
                            '90 degrees; write it anew the way it is to be seen')
    return np.ascontiguousarray(np.rot90(picture, turn))
