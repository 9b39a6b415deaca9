"""Pictures as they lie in tar files."""
import os.path as osp
from typing import Any, List, Sequence

from mmengine.fileio import get_text

from ..registry import DATASETS
from ..utils.images import is_image
from ..utils.shards import read_members
from .picture_folder import PictureFolder


@DATASETS.register_module()
class PictureShards(PictureFolder):
    """A :class:`PictureFolder` that ``tools/dataset_converters/pack.py`` has packed.

    The same samples in the same order with the same bytes, so that views, responses and digests
    are those of the folder. Arguments are the folder's, with names as they were in it.

    Args:
        data_root (str): Where the index is.

    Raises:
        MultiSSLError: Also if the index or a tar file is missing or damaged.
    """

    def __init__(self, data_root: str, *args: Any, **kwargs: Any) -> None:
        self._members = {osp.join(data_root, name): path
                         for name, path in read_members(data_root).items()}
        super().__init__(data_root, *args, **kwargs)

    def load_data_list(self) -> List[dict]:
        """One entry per picture, folder by folder."""
        entries = [dict(entry, img_path=self._members[entry['img_path']])
                   for entry in super().load_data_list()]
        self._members = {}  # of millions of files; the entries have what is needed
        return entries

    def _is_file(self, path: str) -> bool:
        return path in self._members

    def _is_folder(self, path: str) -> bool:
        return any(name.startswith(osp.join(path, '')) for name in self._members)

    def _pictures(self, root: str) -> List[str]:
        return [path for path in self._members
                if path.startswith(osp.join(root, '')) and is_image(path)]

    def _lines(self, path: str) -> List[str]:
        text = get_text(self._members[path]).lstrip('\ufeff')
        return [line.strip() for line in text.splitlines()]

    def _absent(self, paths: Sequence[str]) -> List[str]:
        return [path for path in paths if path not in self._members]
