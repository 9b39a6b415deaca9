"""Files that lists, indices and annotations name: looked at before anything is learned of them."""
import json
import math
import os
import os.path as osp
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set
from xml.etree import ElementTree

from ..errors import MultiSSLError, in_one_line
from .permissions import ALLOW_OUTSIDE


def check_inside(name: Any, where: str) -> None:
    """Looks whether a name in a list is of a file in the folder that the list is about.

    Args:
        name (Any): As it is written, a path from that folder on.
        where (str): Of the list, and where in it the name stands.

    Raises:
        MultiSSLError: If it leads out of the folder, and the user has not allowed that.
    """
    if not isinstance(name, str) or not name or '\0' in name:
        raise MultiSSLError(f'{where}: {name!r} is no name of a file')
    outside = osp.isabs(name) or '..' in re.split(r'[/\\]', name)
    if outside and not ALLOW_OUTSIDE.given:
        raise MultiSSLError(f'{where}: {name} leads out of the folder of the data; if that is '
                            f'meant, allow it with {ALLOW_OUTSIDE.how()}')


def check_list(path: str) -> None:
    """Looks at a text file with a path, and perhaps a label, in each line.

    Raises:
        MultiSSLError: If it cannot be read, or a path leads out of the folder of the data.
    """
    for number, line in enumerate(read_lines(path), 1):
        if line:
            check_inside(line, f'{path}, line {number}')


def check_data_list(path: str) -> None:
    """The same for a file of JSON as MMEngine's data sets read it.

    Raises:
        MultiSSLError: As :func:`check_list`.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            found = json.load(file)
    except ValueError:  # of another format, or damaged: its data set knows
        return
    entries = found.get('data_list') if isinstance(found, dict) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict) and 'img_path' in entry:
            check_inside(entry['img_path'], f'{path}, data_list.{number}')


def read_lines(path: str) -> List[str]:
    """The lines of a text file, without what editors of Windows put at its beginning.

    Raises:
        MultiSSLError: If it is not text.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            return [line.strip() for line in file]
    except UnicodeDecodeError as e:
        raise MultiSSLError(f'{path}: cannot be read as text ({e}); restore it') from e


def absent(paths: Sequence[str]) -> List[str]:
    """Those of many paths at which there is nothing.

    Every folder is listed once: to ask for a million files one by one takes minutes on a network.
    """
    names: Dict[str, Set[str]] = {}
    missing = []
    for path in paths:
        folder, name = osp.split(path)
        if folder not in names:
            names[folder] = set(os.listdir(folder or '.')) if osp.isdir(folder or '.') else set()
        if name not in names[folder]:
            missing.append(path)
    return missing


def check_there(paths: Sequence[str], what: str, by: str, advice: str = '',
                find: Callable[[Sequence[str]], List[str]] = absent) -> None:
    """Looks whether all files are there that something lists.

    Args:
        paths (sequence[str]): Of the files.
        what (str): They are, in one word.
        by (str): What lists them.
        advice (str): What to do.
        find (callable): Those of many that are not there. Defaults to :func:`absent`.

    Raises:
        MultiSSLError: Names the first one that is not, and says how many are missing.
    """
    missing = find(paths)
    if missing:
        raise MultiSSLError(f'{missing[0]}: no such {what}, though {by} lists it ({len(missing)} '
                            f'of {len(paths)} are missing)' + f'; {advice}' * bool(advice))


def check_voc(path: str, folder: str) -> None:
    """Looks at annotations as VOC has them: a file of XML for each picture that a list names.

    Args:
        path (str): The list.
        folder (str): Of the annotations.

    Raises:
        MultiSSLError: Names the first annotation that is not there or cannot be used, and why.
    """
    names = [line for line in read_lines(path) if line]
    for number, name in enumerate(names, 1):
        check_inside(name, f'{path}, line {number}')
    files = [osp.join(folder, f'{name}.xml') for name in names]
    check_there(files, 'annotation', path)
    for file in files:
        try:
            root = ElementTree.parse(file).getroot()
            for texts in (root.findall('size/width'), root.findall('size/height'),
                          root.findall('object/bndbox/*')):
                if not all(math.isfinite(float(str(text.text))) for text in texts):
                    raise ValueError('a number that is not finite')
            without = [item for item in root.iter('object') if not item.findtext('name') or
                       len(item.findall('bndbox/*')) != 4]
        except Exception as e:  # of whatever encoding it says it has
            raise MultiSSLError(f'{file}: cannot be read as an annotation of VOC '
                                f'({in_one_line(e)}); restore it') from e
        if without:
            raise MultiSSLError(f'{file}: {len(without)} objects have no name, or no box of four '
                                'numbers; restore it')


def check_coco(found: Any, path: str, folder: Optional[str] = None, boxes: bool = False,
               masks: bool = False) -> None:
    """Looks at annotations as COCO writes them.

    Args:
        found (Any): What is in the file.
        path (str): The file.
        folder (str, optional): Of the pictures, which must be there; None where it is not known.
        boxes (bool): Whether every instance needs a box, and every picture its size.
        masks (bool): Whether every instance needs a mask.

    Raises:
        MultiSSLError: Names the first picture that is not there or outside of its folder, or the
            first annotation whose box or mask cannot be used, and how many there are.
    """
    try:
        files = {item['id']: item['file_name'] for item in found['images']}
        annotations = list(found['annotations'])
        faults = [(item, fault) for item in annotations if (fault := _fault(item, boxes, masks))]
        unsized = [item['id'] for item in found['images']
                   if boxes and not _numbers([item.get('width'), item.get('height')], 2)]
        nameless = [c['id'] for c in found['categories'] if not isinstance(c['name'], str)]
    except (KeyError, TypeError, AttributeError) as e:
        raise MultiSSLError(f'{path} is no annotation file of COCO ({type(e).__name__}: {e}); '
                            'restore it') from e
    if unsized or nameless:
        what = f'image {unsized[0]} has no width and height' if unsized else \
            f'the name of category {nameless[0]} is no text'
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


def _fault(item: Mapping[str, Any], boxes: bool, masks: bool) -> Optional[str]:
    """What is wrong with an annotation, in words."""
    if (boxes or 'bbox' in item) and not _numbers(item.get('bbox'), 4, 4):
        return 'has a bbox that is not four numbers'
    if boxes and not _numbers([item.get('area')], 1):
        return 'has no area'
    mask = item.get('segmentation')
    if mask is None or mask == []:
        return 'has no mask (its segmentation is empty)' if masks else None
    if isinstance(mask, Mapping):
        whole = isinstance(mask.get('counts'), (str, bytes, list)) and _numbers(
            mask.get('size'), 2, 2)
        return None if whole else 'has a segmentation without counts or size'
    if not isinstance(mask, list) or not all(_numbers(part, 0) for part in mask):
        return 'has a segmentation that is neither polygons nor run lengths'
    if any(len(part) < 6 or len(part) % 2 for part in mask):
        fewest = min(mask, key=len)
        return (f'has a polygon of {len(fewest) // 2} points' if len(fewest) < 6 else
                'has a polygon with half a point')
    return None


def _numbers(value: Any, least: int, most: Optional[int] = None) -> bool:
    if not isinstance(value, list) or not least <= len(value) <= (most or len(value)):
        return False
    try:
        return math.isfinite(sum(value))  # one pass in C: COCO has 80 million numbers
    except (TypeError, OverflowError):
        return False
