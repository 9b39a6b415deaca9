"""Writes pictures with annotated objects in the layouts of ImageNet, VOC2007 and COCO.

Picture i of a part depends on (seed, part, i) alone, so any number of processes writes the same
bytes. A part's manifest is written before its first picture and says when it is done.
"""
import json
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple
from xml.etree import ElementTree as ET

import cv2
import numpy as np
from rich.progress import track

from ..errors import MultiSSLError
from ..utils.files import check_folder, write_atomically
from ..utils.pool import worker_pool
from .pictures import Item, Pictures
from .streets import STREETS

SHARD = 500  # pictures per folder of the ImageNet-like part


# ---------------------------------------------------------------------- one picture each

def _write_jpeg(path: Path, image: np.ndarray) -> None:
    data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    write_atomically(path, data, durable=False)


def _imagenet(what: Pictures, root: Path, seed: int, size: int, index: int
              ) -> Tuple[str, Optional[int]]:
    image, items = what.draw(seed, 'imagenet', index, size, False)
    name = f'n{index // SHARD:08d}/n{index // SHARD:08d}_{index}.JPEG'
    _write_jpeg(root / 'train' / name, image)
    largest = max(items, key=lambda item: item.area, default=None)
    return name, what.classes.index(largest.kind) if largest else None


def _voc(what: Pictures, root: Path, seed: int, size: int, count: int, index: int
         ) -> List[Tuple[str, bool]]:
    image, items = what.draw(seed, 'voc', index, size, index >= count // 2)
    name = f'{index + 1:06d}'
    _write_jpeg(root / 'JPEGImages' / f'{name}.jpg', image)
    xml = ET.Element('annotation')
    _fill(xml, folder='VOC2007', filename=f'{name}.jpg', segmented=0)
    element = ET.SubElement(xml, 'size')
    _fill(element, width=size, height=size, depth=3)
    for item in items:
        x, y, w, h = item.box
        element = ET.SubElement(xml, 'object')
        _fill(element, name=item.kind, pose='Unspecified', truncated=int(item.truncated),
              difficult=int(item.difficult))
        # Pixels are counted from 1, both ends belong.
        _fill(ET.SubElement(element, 'bndbox'), xmin=x + 1, ymin=y + 1, xmax=x + w, ymax=y + h)
    ET.indent(xml)
    write_atomically(root / 'Annotations' / f'{name}.xml', ET.tostring(xml), durable=False)
    return [(item.kind, item.difficult) for item in items]


def _fill(parent: ET.Element, **values: object) -> None:
    for key, value in values.items():
        ET.SubElement(parent, key).text = str(value)


def _coco(what: Pictures, root: Path, seed: int, size: int, split: str, index: int
          ) -> List[Item]:
    image, items = what.draw(seed, f'coco_{split}', index, size, split.startswith('val'))
    _write_jpeg(root / split / f'{index + 1:012d}.jpg', image)
    return items


# ---------------------------------------------------------------------- parts

def parallel(function: Any, count: int, workers: int, what: str, chunk: int = 16) -> List[Any]:
    """``function`` of 0 to count - 1 on several processes, with a bar that says ``what``."""
    if workers <= 1:
        return list(track(map(function, range(count)), what, total=count))
    with worker_pool(workers, partial(cv2.setNumThreads, 0)) as pool:
        results = pool.map(function, range(count), chunksize=chunk)
        return list(track(results, what, total=count))


def write_imagenet(what: Pictures, root: Path, seed: int, count: int, size: int, workers: int
                   ) -> None:
    """``train/n00000000/*.JPEG`` and ``meta/train.txt``, which only supervised training reads.

    The folders mean nothing. A picture's label there is the class of its largest object; pictures
    without a visible one are left out.
    """
    found = parallel(partial(_imagenet, what, root, seed, size), count, workers, 'ImageNet layout')
    write_atomically(root / 'meta' / 'train.txt', ''.join(
        f'{name} {label}\n' for name, label in found if label is not None))


def write_voc(what: Pictures, root: Path, seed: int, count: int, size: int, workers: int) -> None:
    """VOC2007: the first half is trainval (half train, half val), the rest test."""
    found = parallel(partial(_voc, what, root, seed, size, count), count, workers, 'VOC2007 layout')
    names = [f'{i + 1:06d}' for i in range(count)]
    half, quarter = count // 2, count // 4
    splits = dict(train=range(quarter), val=range(quarter, half), trainval=range(half),
                  test=range(half, count))
    main = root / 'ImageSets' / 'Main'
    for split, indices in splits.items():
        write_atomically(main / f'{split}.txt', ''.join(f'{names[i]}\n' for i in indices))
        for kind in what.classes:
            lines = []
            for i in indices:
                flags = [difficult for k, difficult in found[i] if k == kind]
                label = -1 if not flags else 0 if all(flags) else 1
                lines.append(f'{names[i]} {label:2d}\n')
            write_atomically(main / f'{kind}_{split}.txt', ''.join(lines))


def write_coco(what: Pictures, root: Path, seed: int, count: int, size: int, workers: int,
               split: str) -> None:
    """``<split>/*.jpg`` and ``annotations/instances_<split>.json``."""
    found = parallel(partial(_coco, what, root, seed, size, split), count, workers, f'COCO {split}')
    images = [dict(id=i + 1, file_name=f'{i + 1:012d}.jpg', width=size, height=size, license=1)
              for i in range(count)]
    annotations: List[Dict[str, Any]] = []
    for i, items in enumerate(found):
        for item in items:
            annotations.append(dict(
                id=len(annotations) + 1, image_id=i + 1,
                category_id=what.classes.index(item.kind) + 1, segmentation=item.polygons,
                area=item.area, bbox=list(item.box), iscrowd=0))
    content = dict(
        info=dict(description=what.description, version=str(what.version), year=2026),
        licenses=[dict(id=1, name=what.licence, url='')], images=images, annotations=annotations,
        categories=[dict(id=k + 1, name=n, supercategory=what.kind)
                    for k, n in enumerate(what.classes)])
    write_atomically(root / 'annotations' / f'instances_{split}.json', json.dumps(content))


PARTS: Dict[str, Tuple[str, Callable[[Pictures, Path, int, int, int, int], None]]] = {
    'imagenet': ('imagenet', write_imagenet),
    'voc': ('VOCdevkit/VOC2007', write_voc),
    'coco_train': ('coco', partial(write_coco, split='train2017')),
    'coco_val': ('coco', partial(write_coco, split='val2017')),
}


def write_part(out: Path, part: str, seed: int, count: int, size: int, workers: int,
               what: Pictures = STREETS) -> bool:
    """Writes a part unless it is there.

    Args:
        out (Path): Folder of all parts.
        part (str): Of :data:`PARTS`.
        seed (int): Of the pictures.
        count (int): How many.
        size (int): Their side in pixels.
        workers (int): Processes.
        what (Pictures): Streets, or products.

    Returns:
        bool: Whether anything had to be done.

    Raises:
        MultiSSLError: If the folder holds the part as other arguments make it, see
            :func:`check_part`.
    """
    if check_part(out, part, seed, count, size, what):
        return False
    folder, write = PARTS[part]
    path, manifest = _manifest(out, part, seed, count, size, what)
    # First, so that what an interrupted call leaves is not mixed with other pictures.
    write_manifest(path, manifest, done=False)
    write(what, out / folder, seed, count, size, workers)
    write_manifest(path, manifest, done=True)
    return True


def check_part(out: Path, part: str, seed: int, count: int, size: int,
               what: Pictures = STREETS) -> bool:
    """Whether a part is there and whole; an error where it is there but another."""
    return read_manifest(*_manifest(out, part, seed, count, size, what))


def read_manifest(path: Path, manifest: Dict[str, Any]) -> bool:
    """Whether what a manifest announces is there and whole; an error where it is another."""
    check_folder(path.parent)
    if not path.is_file():
        return False
    found = json.loads(path.read_text())
    done, wanted = found.pop('done', False), json.loads(json.dumps(manifest))
    for key in {**wanted, **found}:  # what is usual is not said
        if found.get(key) != wanted.get(key):
            raise MultiSSLError(f'{path}: these data were written with {key}={found.get(key)}, not '
                                f'{wanted.get(key)}; choose another folder, or remove '
                                f'{path.parent}')
    return done


def write_manifest(path: Path, manifest: Dict[str, Any], done: bool) -> None:
    """Says what a folder holds, and whether it is whole."""
    write_atomically(path, json.dumps(dict(manifest, done=done), indent=2))


def _manifest(out: Path, part: str, seed: int, count: int, size: int, what: Pictures
              ) -> Tuple[Path, dict]:
    found = dict(part=part, seed=seed, count=count, size=size, version=what.version)
    if what.name != STREETS.name:  # what is usual is not said
        found['scenes'] = what.name
    return out / PARTS[part][0] / f'manifest_{part}.json', found
