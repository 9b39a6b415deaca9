"""Reading pictures: what is accepted stands here, for training, evaluation and inference."""
import logging
import os
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Iterator, List, Optional, Set, Tuple, Union

import numpy as np
from mmengine.fileio import get
from mmengine.logging import print_log
from PIL import Image, UnidentifiedImageError

from ..errors import MultiSSLError, in_one_line
from .files import kinds

#: What a file that is a picture ends with, in any case of letters.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')

#: EXIF's tag of a picture's orientation, and how a picture is turned upright by its value.
_ORIENTATION = 0x0112
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
          4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
          6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}
#: Turns that swap width and height.
_ON_ITS_SIDE = (Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270,
                Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90)
#: Formats whose pixels of more than 8 bits have 16, though Pillow widens them to 32.
_SIXTEEN_BITS = ('PNG', 'PPM')
#: What lies behind pictures of grey and alpha, as in MMCV.
_CANVAS = (124, 117, 104)


def read_image(path: Union[str, Path], backend_args: Optional[dict] = None) -> np.ndarray:
    """A picture, turned as its camera was held: (H, W, 3), uint8, RGB.

    ===================================  ==========================================================
    grey, palette, CMYK, YCbCr, 1 bit    converted
    RGB and palette with alpha           without the alpha
    grey with alpha                      over the grey canvas that MMCV takes
    16 bits                              their upper 8, as OpenCV has them
    32 bits, floating point              refused: nothing says which range of values is to be seen
    EXIF                                 its orientation is applied; damaged EXIF is as none
    several pictures in a file           the first
    more pixels than Pillow allows       refused (179 million, ``2 * PIL.Image.MAX_IMAGE_PIXELS``)
    ===================================  ==========================================================

    Args:
        path (str | Path): Of a file, or anything that MMEngine's file backends read.
        backend_args (dict, optional): For a file backend of MMEngine.

    Raises:
        MultiSSLError: Names the file. If it is damaged or not there, the error has it as its
            ``file``; if the system could not read it now (too many open files, permissions), it
            has none, since that is no fault of the picture.
    """
    content = read_content(path, backend_args)
    with decoding(path):
        # Pillow: OpenCV would fill up a truncated picture with grey and say nothing.
        with Image.open(BytesIO(content)) as image:
            image.load()
            turn = find_turn(image)
            return np.array(to_rgb(image if turn is None else image.transpose(turn),
                                   image.format))


def read_content(path: Union[str, Path], backend_args: Optional[dict] = None) -> bytes:
    """What is in the file of a picture; raises as :func:`read_image` does."""
    try:
        content = get(path, backend_args=backend_args)
    except FileNotFoundError as e:
        raise _damaged(path, 'it does not exist') from e
    except OSError as e:
        raise MultiSSLError(f'{path}: the system could not read it ({e.strerror or e}); the '
                            'picture itself may be whole') from e
    if not content:
        raise _damaged(path, 'it is empty')
    return content


@contextmanager
def decoding(path: Union[str, Path]) -> Iterator[None]:
    """A block in which a picture is decoded and nothing else: its errors are of the file."""
    try:
        yield
    except MemoryError:
        raise
    except UnidentifiedImageError as e:
        raise _damaged(path, 'cannot identify its format') from e
    except Exception as e:  # decoders raise whatever a damaged file leads them to
        raise _damaged(path, in_one_line(e)) from e


def _damaged(path: Union[str, Path], reason: str) -> MultiSSLError:
    return MultiSSLError(f'{path}: cannot be read as an image ({reason})', str(path))


def find_turn(image: Image.Image) -> Optional[Image.Transpose]:
    """How a picture is turned upright, by its EXIF; None where it is or where that is damaged."""
    # Not ImageOps.exif_transpose, which writes all other entries anew and stumbles over them.
    try:
        value: Any = image.getexif().get(_ORIENTATION)
        return _TURNS.get(value)
    except MemoryError:
        raise
    except Exception:  # Pillow's parser has no error of its own
        return None


def upright_size(image: Image.Image) -> Tuple[int, int]:
    """Width and height of a picture, the right way up by its EXIF."""
    width, height = image.size
    return (height, width) if find_turn(image) in _ON_ITS_SIDE else (width, height)


def to_rgb(image: Image.Image, file_format: Optional[str]) -> Image.Image:
    """By the table of :func:`read_image`; Pillow would clip pixels of 16 bits to 255."""
    if image.mode == 'RGB':
        return image
    if image.mode.startswith('I;16') or (image.mode == 'I' and file_format in _SIXTEEN_BITS):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ('I', 'F'):
        kind = 'floating point' if image.mode == 'F' else '32-bit'
        raise ValueError(f'its pixels are {kind} numbers of an unknown range; save it with 8 or '
                         '16 bits')
    if image.mode == 'LA':
        alpha = image.convert('RGBA')
        image = Image.new('RGB', image.size, _CANVAS)
        image.paste(alpha, mask=alpha.getchannel('A'))
    return image.convert('RGB')


def find_images(folder: Union[str, Path]) -> List[str]:
    """Paths of all pictures in a folder and the folders in it, those behind links included, sorted.

    How many other files there are, and of which kinds, is logged; files and folders whose names
    begin with a dot are the system's and not looked at.

    Raises:
        MultiSSLError: If there is no such folder, or no picture in it.
    """
    if not os.path.isdir(folder):
        raise MultiSSLError(f'{folder}: no such folder')
    # By folder: '-' comes before '/'. Plain texts, since there may be millions.
    paths = sorted(files_below(folder), key=lambda path: path.split(os.sep))
    others = [path for path in paths if not is_image(path)]
    if len(others) == len(paths):
        raise MultiSSLError(f'{folder}: no picture in it, nor in its folders '
                            f'({", ".join(SUFFIXES)})' +
                            f'; there are {kinds(others)}' * bool(others))
    if others:
        print_log(f'{folder}: {len(paths) - len(others)} pictures; left out for their suffix: '
                  f'{kinds(others)}', logger='current', level=logging.WARNING)
    return [path for path in paths if is_image(path)]


def is_image(path: Union[str, Path]) -> bool:
    """Whether a file's name says that it is a picture."""
    return _suffix(path) in SUFFIXES


def _suffix(path: Union[str, Path]) -> str:
    return os.path.splitext(path)[1].lower()


def files_below(root: Union[str, Path]) -> Iterator[str]:
    """Paths of all files in a folder and the folders in it, but for hidden ones; links count."""
    seen: Set[str] = set()
    for folder, children, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above it, or to one that was met
            children.clear()
            continue
        seen.add(real)
        children[:] = sorted(child for child in children if not child.startswith('.'))
        yield from (os.path.join(folder, name) for name in names if not name.startswith('.'))
