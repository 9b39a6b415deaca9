"""Pictures as they lie in tar files."""
import os.path as osp
from typing import Any, List, Sequence

from mmengine.fileio import get_text

from ..errors import MultiSSLError
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
        self._root = osp.join(data_root, '')
        self._members = read_members(data_root)
        super().__init__(data_root, *args, **kwargs)

    def load_data_list(self) -> List[dict]:
        """One entry per picture, folder by folder."""
        entries = [dict(entry, img_path=self._members[self._below(entry['img_path'])])
                   for entry in super().load_data_list()]
        self._members = {}  # of millions of files; the entries have what is needed
        return entries

    def _below(self, path: str) -> str:
        """The name in the index of what would be at a path, however the path is written."""
        inside = path.startswith(self._root)
        return osp.normpath(path[len(self._root):]) if inside else path

    def _in_folder(self, path: str) -> str:
        """What the names in the index begin with that would be in a folder."""
        name = self._below(osp.join(path, ''))
        return '' if name == '.' else osp.join(name, '')

    def _is_file(self, path: str) -> bool:
        return self._below(path) in self._members

    def _is_folder(self, path: str) -> bool:
        start = self._in_folder(path)
        return any(name.startswith(start) for name in self._members)

    def _pictures(self, root: str) -> List[str]:
        start = self._in_folder(root)
        return [osp.join(root, name[len(start):]) for name in self._members
                if name.startswith(start) and is_image(name)]

    def _lines(self, path: str) -> List[str]:
        if not self._is_file(path):
            raise MultiSSLError(f'{path}: no such list among the packed files; say with ann_file '
                                'where it was in the folder')
        text = get_text(self._members[self._below(path)]).lstrip('\ufeff')
        return [line.strip() for line in text.splitlines()]

    def _absent(self, paths: Sequence[str]) -> List[str]:
        return [path for path in paths if not self._is_file(path)]
