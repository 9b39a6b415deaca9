"""Annotations as COCO writes them: looked at before anything is learned of them."""
import math
import os.path as osp
from collections import Counter
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple, TypeGuard

from ..errors import MultiSSLError
from .listed import check_inside, check_there

#: Before the name of a picture, where LVIS has no other name for it.
_LVIS = 'http://images.cocodataset.org/'


def is_coco(found: Any) -> bool:
    """Whether what is in a file of JSON is laid out as COCO has it."""
    return isinstance(found, dict) and all(
        isinstance(found.get(key), list) for key in ('images', 'annotations', 'categories'))


def check_names(found: Mapping[str, Any], path: str) -> None:
    """Looks whether all pictures are in their folder.

    Raises:
        MultiSSLError: Names the first that is not.
    """
    for number, item in enumerate(found['images']):
        if not isinstance(item, dict):
            raise MultiSSLError(f'{path} is no annotation file of COCO (images.{number} is '
                                f'{item!r}); restore it')
        name = item.get('file_name')
        if name is None and isinstance(item.get('coco_url'), str):
            name = item['coco_url'].replace(_LVIS, '')
        check_inside(name, f'{path}, image {item.get("id")}')


def check_coco(found: Any, path: str, folder: Optional[str] = None, boxes: bool = False,
               masks: bool = False) -> Dict[str, int]:
    """Looks at annotations as COCO writes them.

    Args:
        found (Any): What is in the file.
        path (str): The file.
        folder (str, optional): Of the pictures, which must be there; None where it is not known.
        boxes (bool): Whether every instance needs a box, and every picture its size.
        masks (bool): Whether every instance needs a mask.

    Returns:
        dict[str, int]: How many annotations have a box, but one that data sets leave out, by why.

    Raises:
        MultiSSLError: Names the first picture that is not there or outside of its folder, or the
            first annotation whose box or mask cannot be used, and how many there are.
    """
    left_out: Dict[str, int] = Counter()
    try:
        if not is_coco({'annotations': [], **found}):  # pictures to be tested on have none
            raise TypeError('images, annotations and categories must be lists')
        images = {item['id']: item for item in found['images']}
        files = {number: item['file_name'] for number, item in images.items()}
        sizes = {number: (item.get('height'), item.get('width'))
                 for number, item in images.items()}
        unsized = [number for number, size in sizes.items()
                   if boxes and not (_numbers([*size], 2) and min(size) > 0)]
        categories = {item['id'] for item in found['categories']}
        misnamed = _misnamed(found['categories'])
        annotations = found.get('annotations', [])
        twice = [key for key in ('images', 'annotations', 'categories')
                 if len({item['id'] for item in found.get(key, []) if 'id' in item}) < sum(
                     'id' in item for item in found.get(key, []))]
        if not (unsized or misnamed or twice):
            faults = [(item, fault) for item in annotations
                      if (fault := _fault(item, sizes, boxes, masks))]
            if boxes and not faults:
                left_out = _left_out(annotations, sizes, categories)
    except (KeyError, TypeError, AttributeError) as e:
        raise MultiSSLError(f'{path} is no annotation file of COCO ({type(e).__name__}: {e}); '
                            'restore it') from e
    if not images:
        raise MultiSSLError(f'{path} has no images; restore it')
    if unsized or misnamed or twice:
        what = f'image {unsized[0]} has no width and height' if unsized else \
            misnamed or f'two {twice[0]} have the same id'
        raise MultiSSLError(f'{path}: {what}; restore it')
    for number, name in files.items():
        check_inside(name, f'{path}, image {number}')
    if folder is not None:
        check_there([osp.join(folder, name) for name in files.values()], 'image', path)
    if faults:
        item, fault = faults[0]
        of = files.get(item.get('image_id'), 'a picture that is not listed')
        raise MultiSSLError(f'{path}: annotation {item.get("id")} of {of} {fault} ({len(faults)} '
                            f'of {len(annotations)} annotations cannot be used); mend or remove '
                            'them')
    return left_out


def _misnamed(categories: Sequence[Mapping[str, Any]]) -> Optional[str]:
    for item in categories:
        if not isinstance(item['name'], str):
            return f'the name of category {item["id"]} is no text'
        if type(item['id']) is not int:
            return f'the id of the category {item["name"]}, {item["id"]!r}, is no whole number'
    return None


def _fault(item: Mapping[str, Any], sizes: Mapping[Any, Tuple[Any, Any]], boxes: bool,
           masks: bool) -> Optional[str]:
    """What is wrong with an annotation, in words."""
    if not isinstance(item, dict):
        raise TypeError(f'an annotation is {item!r}')
    for key in ('id', 'image_id', 'category_id'):
        if key not in item:
            return f'has no {key}'
    if boxes or 'bbox' in item:
        box = item.get('bbox')
        if not _numbers(box, 4, 4):
            return 'has a bbox that is not four numbers'
        if box[2] < 0 or box[3] < 0:
            return 'has a bbox of a negative width or height'
    if boxes and not _numbers([item.get('area')], 1):
        return 'has no area'
    mask = item.get('segmentation')
    if mask is None or mask == []:
        return 'has no mask (its segmentation is empty)' if masks else None
    if isinstance(mask, Mapping):
        return _fault_of_runs(mask, sizes.get(item['image_id']))
    if not isinstance(mask, list) or not all(_numbers(part, 0) for part in mask):
        return 'has a segmentation that is neither polygons nor run lengths'
    if any(len(part) < 6 or len(part) % 2 for part in mask):
        fewest = min(mask, key=len)
        return (f'has a polygon of {len(fewest) // 2} points' if len(fewest) < 6 else
                'has a polygon with half a point')
    return None


def _fault_of_runs(mask: Mapping[str, Any], picture: Optional[Tuple[Any, Any]]) -> Optional[str]:
    size, runs = mask.get('size'), mask.get('counts')
    if not isinstance(runs, (str, list)) or not _numbers(size, 2, 2):
        return 'has a segmentation without counts or size'
    if picture is not None and None not in picture and tuple(size) != picture:
        return (f'has run lengths of {size[0]} x {size[1]} pixels, '
                f'its picture {picture[0]} x {picture[1]}')
    if isinstance(runs, str):
        runs = _decoded(runs)
    if not _numbers(runs, 1) or min(runs) < 0 or sum(runs) != size[0] * size[1]:
        return 'has run lengths that do not fill its size'
    return None


def _decoded(text: str) -> List[int]:
    """Run lengths from COCO's text of them; none where it is broken.

    Five bits a character, of which a sixth says whether more follow; from the fourth run on the
    difference to the one before the last.
    """
    runs: List[int] = []
    run = shift = 0
    for code in map(ord, text):
        code -= 48
        if not 0 <= code < 64:
            return []
        run |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                run -= 1 << shift
            runs.append(run + runs[-2] if len(runs) > 2 else run)
            run = shift = 0
    return [] if shift else runs


def _left_out(annotations: Sequence[Mapping[str, Any]], sizes: Mapping[Any, Tuple[Any, Any]],
              categories: Set[int]) -> Dict[str, int]:
    """As mmdet's CocoDataset does."""
    reasons: Dict[str, int] = Counter()
    for item in annotations:
        x, y, width, height = item['bbox']
        size = sizes.get(item['image_id'])
        if size is None:
            reasons['of a picture that is not listed'] += 1
        elif item['category_id'] not in categories:
            reasons['of a category that is not listed'] += 1
        elif width < 1 or height < 1 or item['area'] <= 0:
            reasons['with a box of no size'] += 1
        elif x >= size[1] or y >= size[0] or x + width <= 0 or y + height <= 0:
            reasons['with a box outside of the picture'] += 1
    return reasons


def _numbers(value: Any, least: int, most: Optional[int] = None) -> TypeGuard[List[float]]:
    if not isinstance(value, list) or not least <= len(value) <= (most or len(value)):
        return False
    try:
        return math.isfinite(sum(value))  # one pass in C: COCO has 80 million numbers
    except (TypeError, OverflowError):
        return False
