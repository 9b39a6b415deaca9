"""The classes that a config, its annotation files and its heads have: whether all mean the same."""
import inspect
import os.path as osp
from importlib import import_module
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from mmengine.registry import DATASETS

from ..errors import MultiSSLError
from ..utils.checkpoint import some
from ..utils.listed import read_lines


class Labels(NamedTuple):
    """How a dataset in COCO's layout numbers its classes.

    Args:
        where (str): The dataset, in the config.
        path (str): Its annotation file.
        classes (list[str]): As the config or the dataset's type lists them.
        numbered (list[str]): As mmdet numbers them: in the order of the file's categories.
        images (set): Ids of the pictures.
    """
    where: str
    path: str
    classes: List[str]
    numbered: List[str]
    images: Set[Any]


def dataset_type(kind: Any, scope: str) -> Optional[type]:
    """The class of a dataset; None where its package cannot be imported.

    Args:
        kind (str | type): As a config has it.
        scope (str): The package of names without one.
    """
    if inspect.isclass(kind):
        return kind
    package, _, name = str(kind).rpartition('.')
    package = package or scope
    try:
        registry = getattr(import_module(f'{package}.registry'), 'DATASETS', DATASETS)
        return registry.get(name)
    except Exception:  # whatever stands in a package's way; it is said when the data are built
        return None


def classes_of(dataset: dict, cls: Optional[type], where: str) -> Optional[List[str]]:
    """The names of classes that a dataset's config lists, or else its type; None where none does.

    Raises:
        MultiSSLError: If it lists one twice, or is a text that names no file of them.
    """
    classes = (dataset.get('metainfo') or {}).get('classes')
    if classes is None:
        classes = (getattr(cls, 'METAINFO', None) or {}).get('classes')
    if isinstance(classes, str):
        if not osp.isfile(classes):
            raise MultiSSLError(f'{where}.metainfo.classes is the text {classes}, and no such file '
                                f"lists them; write a list, ['{classes}']")
        classes = [line for line in read_lines(classes) if line]
    if not isinstance(classes, (list, tuple)):
        return None
    names = [str(name) for name in classes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MultiSSLError(f'{where}.metainfo.classes has {", ".join(twice)} more than once')
    return names


def check_known(labels: Labels, categories: Sequence[str], where: str, listed: bool = True) -> None:
    """Looks whether an annotation file has all classes.

    Args:
        labels (Labels): Of the dataset.
        categories (sequence[str]): Of the file.
        where (str): Of the classes, in the config.
        listed (bool): Whether they stand there, rather than in the dataset's type.

    Raises:
        MultiSSLError: Names those that it does not have.
    """
    absent = [name for name in labels.classes if name not in categories]
    if absent:
        own = f'{where} are {some(labels.classes)}' if listed else \
            f'{where} is not set, so that the classes are {some(labels.classes)}'
        raise MultiSSLError(
            f'{own}, but the categories of {labels.path} are {some(categories)}: no '
            f'{some(absent)}; write both the same, capitals too')


def check_same_order(labelled: Sequence[Labels]) -> None:
    """Looks whether datasets of the same classes number them alike.

    Raises:
        MultiSSLError: Names two that do not.
    """
    for one in labelled[1:]:
        first = labelled[0]
        if {*one.classes} == {*first.classes} and (one.classes, one.numbered) != (
                first.classes, first.numbered):
            what, lists = ('metainfo.classes', (first.classes, one.classes)) \
                if one.classes != first.classes else \
                ('ann_file', (first.numbered, one.numbered))
            raise MultiSSLError(
                f'{one.where}.{what} has the classes in the order {some(lists[1])}, '
                f'{first.where}.{what} in the order {some(lists[0])}: their labels would mean '
                'different classes; write both the same')


def check_heads(model: Any, labels: Labels) -> None:
    """Looks whether heads of a detector have as many classes as its data.

    Raises:
        MultiSSLError: Names the key of the first that has not.
    """
    for key, number in _head_classes(model, 'model'):
        if number != len(labels.classes):
            raise MultiSSLError(f'{key} is {number}, but {labels.where} has {len(labels.classes)} '
                                f'classes, {some(labels.classes)}; write '
                                f'{key}={len(labels.classes)}, or list other classes in '
                                f'{labels.where}.metainfo.classes')


def _head_classes(node: Any, where: str, head: bool = False) -> Iterator[Tuple[str, int]]:
    if isinstance(node, dict):
        if 'language_model' in node:  # its heads take any classes, by their names
            return
        if head and type(node.get('num_classes')) is int and not node.get('class_agnostic'):
            yield f'{where}.num_classes', node['num_classes']
        for key, child in node.items():
            yield from _head_classes(child, f'{where}.{key}', key in ('bbox_head', 'mask_head'))
    elif isinstance(node, (list, tuple)):
        for number, child in enumerate(node):
            yield from _head_classes(child, f'{where}.{number}', head)
