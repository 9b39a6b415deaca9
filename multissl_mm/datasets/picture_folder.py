"""Pictures as they lie in a folder."""
import os
import os.path as osp
import re
from typing import List, Optional, Sequence, Tuple

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..errors import MultiSSLError
from ..registry import DATASETS
from ..utils.images import find_images
from ..utils.listed import absent, check_inside, check_there, read_lines

#: Folders of a data set that is split.
SPLITS = ('train', 'val', 'test')


@DATASETS.register_module()
class PictureFolder(BaseDataset):
    """All pictures of a folder and of the folders in it, however deep; no labels are needed.

    Of a folder in ImageNet's layout it takes the split: the pictures that ``meta/<split>.txt``
    lists, a path in each line and after it, where it is known, a number for the class; one that
    comes more than once is as many samples. Without such a list all pictures in ``<split>/``.

    An entry has ``img_path`` and ``gt_label``; where no list says it, a label is the number of the
    picture's folder directly below the root, in the order of their names. What classes are called
    only ``metainfo=dict(classes=...)`` says: ``ConcatDataset`` refuses folders that differ there.

    Args:
        data_root (str): The folder.
        split (str): ``train``, ``val`` or ``test``, for a folder in ImageNet's layout; empty to
            take all pictures of any. Defaults to ''.
        ann_file (str): Another list than ``meta/<split>.txt``.
        data_prefix (str): Another folder than ``<split>``.
        pipeline (sequence[dict]): Transforms.

    Raises:
        MultiSSLError: If there is no picture, if the folder has other splits than that which is
            wanted, or if a list names what is not there.
    """

    def __init__(self, data_root: str, split: str = '', ann_file: str = '', data_prefix: str = '',
                 pipeline: Sequence = (), **kwargs: object) -> None:
        self.split = split
        listed = osp.join('meta', f'{split}.txt')
        if split and not ann_file and self._is_file(osp.join(data_root, listed)):
            ann_file = listed
        if split and not data_prefix and self._is_folder(osp.join(data_root, split)):
            data_prefix = split
        super().__init__(ann_file=ann_file, data_root=data_root, pipeline=list(pipeline),
                         data_prefix=dict(img_path=data_prefix), **kwargs)

    def load_data_list(self) -> List[dict]:
        """One entry per picture, folder by folder."""
        root = self.data_prefix['img_path'] or self.data_root
        if not (root or self.ann_file):
            raise MultiSSLError(f'{type(self).__name__}.data_root is empty; name the folder of the '
                                'pictures')
        if self.ann_file:
            listed = self._listed(root)
        else:
            self._refuse_other_splits(root)
            listed = [(path, None) for path in self._pictures(root)]
        start = len(osp.join(root, ''))
        tops = [path[start:].rpartition(os.sep)[0].partition(os.sep)[0] for path, _ in listed]
        labels = {name: label for label, name in enumerate(sorted(set(tops)))}
        return [dict(img_path=path, gt_label=labels[top] if label is None else label)
                for (path, label), top in zip(listed, tops)]

    def get_cat_ids(self, idx: int) -> List[int]:
        """The label of a sample, for wrappers that balance classes."""
        return [int(self.get_data_info(idx)['gt_label'])]

    # What a subclass reads from elsewhere.

    def _is_file(self, path: str) -> bool:
        return osp.isfile(path)

    def _is_folder(self, path: str) -> bool:
        return osp.isdir(path)

    def _pictures(self, root: str) -> List[str]:
        return find_images(root)

    def _lines(self, path: str) -> List[str]:
        return read_lines(path)

    def _absent(self, paths: Sequence[str]) -> List[str]:
        return absent(paths)

    def _refuse_other_splits(self, root: str) -> None:
        if not self.split or osp.normpath(root) != osp.normpath(self.data_root):
            return
        others = [name for name in SPLITS if self._is_folder(osp.join(root, name))]
        if others:
            raise MultiSSLError(
                f"{root} has {' and '.join(f'{name}/' for name in others)}, but no {self.split}/: "
                f"put the pictures of split '{self.split}' there, or take all pictures in it with "
                "PictureFolder.split='' (--cfg-options "
                "train_dataloader.dataset.dataset.split='')")
        print_log(f'{root} has no {self.split}/: all pictures in it and its folders are taken',
                  logger='current')

    def _listed(self, root: str) -> List[Tuple[str, Optional[int]]]:
        entries: List[Tuple[str, Optional[int]]] = []  # a picture may come more than once
        for number, line in enumerate(self._lines(self.ann_file), 1):
            if not line:
                continue
            labelled = re.fullmatch(r'(.+\.\w+)\s+(\d+)', line)
            path = labelled.group(1) if labelled else line
            check_inside(path, f'{self.ann_file}, line {number}')
            entries.append((osp.join(root, path), int(labelled.group(2)) if labelled else None))
        if not entries:
            raise MultiSSLError(f'{self.ann_file}: lists no picture')
        check_there(list(dict(entries)), 'picture', self.ann_file, 'put the pictures there, or '
                    'leave the list out', self._absent)
        return entries
