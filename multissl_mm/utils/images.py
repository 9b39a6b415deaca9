"""Reading pictures."""
from pathlib import Path
from typing import List, Union

import numpy as np
from PIL import Image, ImageOps

from ..errors import MultiSSLError

#: What a file that is a picture ends with.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


def read_image(path: Union[str, Path]) -> np.ndarray:
    """A picture, turned as its camera was held: (H, W, 3), uint8, RGB.

    Raises:
        MultiSSLError: If it cannot be read as a whole.
    """
    try:
        # OpenCV would fill up a truncated picture with grey and say nothing.
        with Image.open(path) as f:
            return np.asarray(ImageOps.exif_transpose(f).convert('RGB'))
    except (OSError, SyntaxError, ValueError) as e:
        raise MultiSSLError(f'{path}: cannot be read as an image ({e}); copy it again') from e


def find_images(folder: Union[str, Path]) -> List[str]:
    """Paths of all pictures in a folder and the folders in it, sorted.

    Raises:
        MultiSSLError: If there is no such folder, or no picture in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MultiSSLError(f'{folder}: no such folder')
    found = sorted(str(path) for path in root.rglob('*') if path.suffix.lower() in SUFFIXES)
    if not found:
        raise MultiSSLError(f'{folder}: no picture in it, nor in its folders '
                            f'({", ".join(SUFFIXES)})')
    return found
