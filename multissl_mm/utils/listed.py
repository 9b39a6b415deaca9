"""Files that lists, indices and annotations name: looked at before anything is learned of them."""
import math
import os
import os.path as osp
import re
from typing import Any, Callable, Dict, List, Sequence, Set
from xml.etree import ElementTree

from ..errors import MultiSSLError, in_one_line
from .permissions import ALLOW_OUTSIDE, TRUST_CHECKPOINT


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


def check_no_code(path: str, where: str) -> None:
    """Looks whether reading an annotation file would run code: MMEngine reads it by its suffix.

    Raises:
        MultiSSLError: If it would, and the user has not said that it may.
    """
    suffix = osp.splitext(path)[1].lower()
    if TRUST_CHECKPOINT.given or suffix not in ('.pkl', '.pickle', '.yml', '.yaml'):
        return
    if suffix in ('.yml', '.yaml'):
        with open(path, 'rb') as file:
            if b'!' not in file.read():  # without a tag it is but data
                return
    raise MultiSSLError(f'{where}: code in {path} would run as it is read; write it as JSON, or, '
                        f'if you trust whoever wrote it, allow it with {TRUST_CHECKPOINT.how()}')


def check_list(path: str, text: bool = True) -> None:
    """Looks at a text file with a path, and perhaps a label, in each line.

    Args:
        path (str): The file.
        text (bool): Whether it must be text; others' are theirs to read.

    Raises:
        MultiSSLError: If it cannot be read, or a path leads out of the folder of the data.
    """
    try:
        lines = read_lines(path)
    except MultiSSLError:
        if text:
            raise
        return
    for number, line in enumerate(lines, 1):
        if line and (text or '\0' not in line):
            check_inside(line, f'{path}, line {number}')


def check_data_list(found: Any, path: str) -> None:
    """The same for what is in a file of JSON as MMEngine's data sets read it.

    Raises:
        MultiSSLError: As :func:`check_list`.
    """
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
