"""Pictures in COCO's layout, and how much of each cell of a picture a class covers."""
import contextlib
import io
import os.path as osp
from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from ...errors import MultiSSLError
from ...utils.checkpoint import some
from ...utils.cli import progress_bar
from ...utils.coco import check_coco
from ...utils.files import AnyPath
from ...utils.images import decoding, upright_size
from ...utils.listed import check_there

#: Share of a cell that a class must cover at least to be there.
COVERED = .15


class COCOSplit(NamedTuple):
    """N pictures of a COCO split.

    Args:
        paths (list[str]): Of the pictures.
        ids (list[int]): In the annotations.
        annotations (COCO): Of the whole split.
        classes (list[str]): Names, in the order of the ids of their categories.
    """
    paths: List[str]
    ids: List[int]
    annotations: COCO
    classes: List[str]


def load_coco(data_root: AnyPath, split: str, pictures: Optional[int] = None) -> COCOSplit:
    """Reads ``annotations/instances_<split>.json`` of a COCO folder.

    Args:
        data_root (str): The folder.
        split (str): Also the folder of the pictures in it, e.g. ``train2017``.
        pictures (int, optional): At most so many, evenly spaced in the order of their ids.
            Defaults to all.

    Raises:
        MultiSSLError: If the file is missing, is not COCO's, or has no annotations or masks, or if
            pictures are missing.
    """
    path = osp.join(data_root, 'annotations', f'instances_{split}.json')
    if not osp.isfile(path):
        raise MultiSSLError(f'{path}: no such annotations; --data-root must be a folder in COCO\'s '
                            'layout, with annotations and the pictures of each split in it')
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # "loading annotations into memory..."
            found = COCO(path)
        ids = sorted(found.getImgIds())
        names = [found.cats[k]['name'] for k in sorted(found.getCatIds())]
        files = [found.imgs[i]['file_name'] for i in ids]
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as e:
        raise MultiSSLError(f'{path}: cannot be read as COCO instances ({type(e).__name__}: {e}); '
                            'copy it again') from e
    if not found.anns or not ids:
        raise MultiSSLError(f'{path}: has no pictures or no annotations; linear segmentation '
                            'learns from masks')
    check_coco(found.dataset, path, masks=True)
    paths = [osp.join(data_root, split, file) for file in files]
    if pictures is not None and pictures < len(ids):
        if pictures < 1:
            raise MultiSSLError(f'{pictures} pictures of {split}: at least 1 is needed')
        chosen = np.arange(pictures) * len(ids) // pictures
        ids, paths = [ids[i] for i in chosen], [paths[i] for i in chosen]
    check_there(paths, 'image', path)
    return COCOSplit(paths, ids, found, names)


def coverage(split: COCOSplit, size: Tuple[int, int], progress: bool = False) -> np.ndarray:
    """How much of each cell each class covers; overlapping instances count once, crowds too.

    Args:
        split (COCOSplit): N pictures and K classes.
        size (tuple[int, int]): Rows h and columns w of cells, of equal size, that pictures have.
        progress (bool): Show a bar.

    Returns:
        ndarray: (N, K, h, w), float32, shares from 0 to 1.

    Raises:
        MultiSSLError: If a picture has fewer pixels than cells, a mask cannot be read, or masks are
            of a picture on its side.
    """
    height, width = size
    found = split.annotations
    column = {category: k for k, category in enumerate(sorted(found.getCatIds()))}
    shares = np.zeros((len(split.ids), len(column), height, width), np.float32)
    for i, number in enumerate(progress_bar(split.ids, len(split.ids), 'masks', progress)):
        rows, columns = found.imgs[number]['height'], found.imgs[number]['width']
        if rows < height or columns < width:
            raise MultiSSLError(f'{split.paths[i]}: {columns} x {rows} pixels are too few for '
                                f'{width} x {height} cells; leave it out, or choose a smaller '
                                '--image-size')
        with decoding(split.paths[i]), Image.open(split.paths[i]) as image:
            on_its_side = upright_size(image) == (rows, columns) != (columns, rows)
        if on_its_side:
            raise MultiSSLError(f'{split.paths[i]}: its EXIF turns it by 90 degrees, but its '
                                f'annotations are of {columns} x {rows} pixels as they are stored; '
                                'remove its EXIF, or turn the annotations')
        masks = np.zeros((len(column), rows, columns), np.uint8)
        for item in found.imgToAnns.get(number, []):
            try:
                masks[column[item['category_id']]] |= found.annToMask(item)
            except Exception as e:  # of pycocotools' compiled half: anything
                raise MultiSSLError(f'annotation {item.get("id")} of {split.paths[i]}: its mask '
                                    f'cannot be read ({e})') from e
        for k in np.flatnonzero(masks.any(axis=(1, 2))):
            # Exact, also where the border between two cells is within a pixel.
            shares[i, k] = cv2.resize(masks[k].astype(np.float32), (width, height),
                                      interpolation=cv2.INTER_AREA)
    return shares


def check_same_classes(train: COCOSplit, held_out: COCOSplit, data_root: AnyPath) -> None:
    """An error where two splits do not have the same categories."""
    different = set(train.classes) ^ set(held_out.classes)
    if different or train.classes != held_out.classes:
        raise MultiSSLError(f'{data_root}: its splits have different categories, among them '
                            f'{some(sorted(different) or train.classes, 3)}; both parts must come '
                            'from one data set')
