"""VOC2007: its pictures and labels."""
import glob
import os.path as osp
from typing import Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from ...errors import MultiSSLError
from ...utils.checkpoint import some
from ...utils.files import AnyPath
from ...utils.images import read_image
from ...utils.listed import check_inside, check_there, read_lines


class VOCSplit(NamedTuple):
    """A split of VOC2007: N picture paths, and labels (N, classes) in {-1, 0: difficult, 1}."""
    paths: List[str]
    labels: np.ndarray


def load_voc2007(data_root: AnyPath) -> Tuple[List[str], VOCSplit, VOCSplit]:
    """Reads ``ImageSets/Main/{class}_{trainval,test}.txt`` of a VOC2007 folder.

    Returns:
        tuple: Names of the classes (of whatever files are there, sorted), trainval and test.

    Raises:
        MultiSSLError: If files are missing, damaged or disagree, or pictures are missing.
    """
    main = osp.join(data_root, 'ImageSets', 'Main')
    if not osp.isdir(main):
        raise MultiSSLError(f'{main}: no such folder; --data-root must be the folder VOC2007 of '
                            'VOCdevkit, with ImageSets and JPEGImages in it')
    found = {split: {osp.basename(path)[:-len(f'_{split}.txt')]
                     for path in glob.glob(osp.join(glob.escape(main), f'*_{split}.txt'))}
             for split in ('trainval', 'test')}
    names = sorted(found['trainval'] | found['test'])
    for split, listed in found.items():
        lacking = [name for name in names if name not in listed]
        if lacking or not names:
            path = osp.join(main, f'{lacking[0] if lacking else "*"}_{split}.txt')
            raise MultiSSLError(f'{path}: no such file; extract both VOCtrainval_06-Nov-2007.tar '
                                f'and VOCtest_06-Nov-2007.tar into {data_root}')
    trainval, test = (_load_split(data_root, main, names, split) for split in found)
    return names, trainval, test


def _load_split(data_root: AnyPath, main: str, names: Sequence[str], split: str) -> VOCSplit:
    columns: List[Dict[str, int]] = []
    for name in names:
        path = osp.join(main, f'{name}_{split}.txt')
        columns.append(_load_labels(path))
        different = columns[0].keys() ^ columns[-1].keys()
        if different:
            raise MultiSSLError(f'{path}: lists other images than {names[0]}_{split}.txt, among '
                                f'them {some(sorted(different), 3)}; extract the data again')
    ids = list(columns[0])
    paths = [osp.join(data_root, 'JPEGImages', f'{i}.jpg') for i in ids]
    check_there(paths, 'image', split, f'extract the images of {split}')
    return VOCSplit(paths, np.array([[column[i] for column in columns] for i in ids]))


def _load_labels(path: str) -> Dict[str, int]:
    labels: Dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ('-1', '0', '1') or words[0] in labels:
            raise MultiSSLError(f'{path}, line {number}: {line!r} is not a new image id and -1, 0 '
                                'or 1; extract the data again')
        check_inside(words[0], f'{path}, line {number}')
        labels[words[0]] = int(words[1])
    if not labels:
        raise MultiSSLError(f'{path}: lists no images; extract the data again')
    return labels


def load_image(path: str, image_size: int = 224) -> np.ndarray:
    """Reads a picture, resizes its shorter edge to 256 and warps it to 224 x 224.

    Args:
        path (str): Of the picture.
        image_size (int): Instead of 224; 256 becomes ``image_size * 256 / 224``.

    Returns:
        ndarray: (image_size, image_size, 3), uint8, RGB.

    Raises:
        MultiSSLError: If it cannot be read.
    """
    image = read_image(path)
    edge = round(image_size * 256 / 224)
    h, w = image.shape[:2]
    size = (edge, int(edge * h / w)) if w < h else (int(edge * w / h), edge)
    # Bilinear without antialiasing, as MMCV does it by default.
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(image, (image_size, image_size), interpolation=cv2.INTER_LINEAR)
