"""Pictures that are decoded on demand, at the scale that is needed, and may stay in memory."""
from io import BytesIO
from typing import Dict, Optional, Sequence

from mmcv.transforms import BaseTransform
from PIL import Image

from ..registry import TRANSFORMS
from ..utils.images import decoding, find_turn, read_content, to_rgb, upright_size

#: Scales at which a JPEG can be decoded: one of so many pixels in each direction.
REDUCTIONS = (8, 4, 2, 1)


class Memory:
    """So many bytes, of which parts are taken and never given back."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> bool:
        """Whether there was room."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


class Picture:
    """A file in memory, decoded on demand.

    Args:
        data (bytes): Its content.
        memory (Memory, optional): What it may take to stay decoded.
        path (str): What errors call it.

    Raises:
        MultiSSLError: If it is damaged, see :func:`multissl_mm.utils.images.read_image`.
    """

    def __init__(self, data: bytes, memory: Optional[Memory] = None,
                 path: str = 'a picture') -> None:
        self._data, self._memory, self._path = data, memory, path
        self._decoded: Dict[int, Image.Image] = {}
        with decoding(path):
            opened = Image.open(BytesIO(data))
            self._turn = find_turn(opened)
        self._opened: Optional[Image.Image] = opened
        self._reducible = opened.format == 'JPEG'
        #: Width and height, the right way up.
        self.size = upright_size(opened)

    def reductions(self) -> Sequence[int]:
        """By how much it can be reduced while it is decoded, which is faster."""
        return REDUCTIONS if self._reducible else (1, )

    def decode(self, reduction: int = 1) -> Image.Image:
        """In RGB, the right way up, one of ``reduction`` pixels in each direction."""
        image = self._decoded.get(reduction)
        if image is None:
            image = self._decode(reduction)
            # Pillow has four bytes for a pixel of RGB.
            if self._memory is not None and self._memory.take(4 * image.width * image.height):
                self._decoded[reduction] = image
        return image

    def _decode(self, reduction: int) -> Image.Image:
        with decoding(self._path):
            image = Image.open(BytesIO(self._data)) if self._opened is None else self._opened
            self._opened = None
            if reduction > 1:
                image.draft(image.mode, (image.width // reduction, image.height // reduction))
            image.load()  # refuses what is truncated
            return to_rgb(image if self._turn is None else image.transpose(self._turn),
                          image.format)


@TRANSFORMS.register_module()
class OpenPicture(BaseTransform):
    """Reads ``img_path``; ``picture``, of which only the header is looked at.

    Args:
        cache_mb (float): Pictures stay in memory, decoded, until they take so many MB; for data
            sets that fit. Every worker has a memory of its own, and keeps it from epoch to epoch
            only if ``persistent_workers`` is set. Defaults to 0.
        backend_args (dict, optional): See :func:`mmengine.fileio.get`.
    """

    def __init__(self, cache_mb: float = 0, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args
        self.memory = Memory(int(cache_mb * 2 ** 20))
        self.kept: Dict[str, Picture] = {}

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        picture = self.kept.get(path)
        if picture is None:
            data = read_content(path, self.backend_args)
            if self.memory.take(len(data)):
                picture = self.kept[path] = Picture(data, self.memory, path)
            else:
                picture = Picture(data, path=path)
        results['picture'] = picture
        return results
