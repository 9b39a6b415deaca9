"""The data that a config names: looked at before anything is built."""
import codecs
import json
import os
import os.path as osp
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config

from ..errors import MultiSSLError
from ..utils.checkpoint import some
from ..utils.coco import check_coco, check_names, is_coco
from ..utils.listed import check_data_list, check_list, check_no_code, check_voc
from ..utils.names import bare
from ..utils.nested import dicts
from .class_lists import (
    Labels,
    check_heads,
    check_known,
    check_same_order,
    classes_of,
    dataset_type,
)


def check_data(cfg: Config, splits: Sequence[str]) -> None:
    """Looks for the data folders and annotation files that a config names, and into these.

    Raises:
        MultiSSLError: Names the key and the path of the first that is not there, what cannot be
            used of an annotation file, or the classes that it does not have.
    """
    labelled: List[Labels] = []
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        of_split: List[Labels] = []
        for where, dataset in _datasets((loader or {}).get('dataset'),
                                        f'{split}_dataloader.dataset'):
            ann_file = _find(dataset, where)
            labels = None if ann_file is None else _look_into(
                ann_file, dataset, where, str(cfg.get('default_scope')), split == 'train')
            if labels is not None:
                of_split.append(labels)
        for labels in of_split:
            check_heads(cfg.get('model'), labels)
        labelled += of_split
        _check_evaluator(cfg.get(f'{split}_evaluator'), f'{split}_evaluator', of_split)
    check_same_order(labelled)


def _find(dataset: dict, where: str) -> Optional[str]:
    """The annotation file of a dataset, on this machine."""
    root, ann = dataset.get('data_root') or '', dataset.get('ann_file')
    paths = [('data_root', [root])]
    if isinstance(ann, str) and ann:
        paths.append(('ann_file', [osp.join(root, ann), ann]))
    for key, candidates in paths:
        if isinstance(candidates[0], str) and not any(map(_exists, candidates)):
            raise _absent(f'{where}.{key}', candidates[0])
    proposals = dataset.get('proposal_file')
    if isinstance(proposals, str):
        check_no_code(osp.join(root, proposals), f'{where}.proposal_file')
    return next(filter(osp.isfile, paths[-1][1]), None) if len(paths) > 1 else None


def _look_into(path: str, dataset: dict, where: str, scope: str, learned: bool
               ) -> Optional[Labels]:
    """Looks at an annotation file; says how a dataset in COCO's layout numbers its classes."""
    kind = bare(dataset.get('type'))
    check_no_code(path, f'{where}.ann_file')
    if _has_bom(path) and not getattr(
            dataset_type(dataset.get('type'), scope), '__module__', '').startswith('multissl_mm.'):
        raise MultiSSLError(f'{where}.ann_file: {path} begins with a byte-order mark, which '
                            f'{kind} does not expect; save it as UTF-8 without one')
    if 'VOCDataset' in kind:
        part = (dataset.get('data_prefix') or {}).get('sub_data_root', '')
        check_voc(path, osp.join(dataset.get('data_root') or '', part,
                                 dataset.get('ann_subdir', 'Annotations')))
        return None
    found = _json(path)
    cls = dataset_type(dataset.get('type'), scope) if found is None or is_coco(found) else None
    bases = {kind, *(base.__name__ for base in getattr(cls, '__mro__', ()))}
    if 'CocoDataset' in bases and not any('LVIS' in name for name in bases):
        return _look_into_coco(path, found, dataset, where, cls, learned)
    if is_coco(found):
        check_names(found, path)
    elif found is None:
        check_list(path, text='CustomDataset' in bases)
    else:
        check_data_list(found, path)
    return None


def _look_into_coco(path: str, found: Any, dataset: dict, where: str, cls: Optional[type],
                    learned: bool) -> Optional[Labels]:
    if found is None:
        raise MultiSSLError(f'{where}.ann_file: {path} is no annotation file of COCO: it is no '
                            'JSON, or cut off; restore it')
    if is_coco(found) and 'segments_info' in str(found['annotations'][:1]):  # panoptic
        check_names(found, path)
        return None
    prefix = dataset.get('data_prefix')
    folder = prefix.get('img') if isinstance(prefix, dict) else None
    if folder is not None and not osp.isabs(folder) and '://' not in folder:
        folder = osp.join(dataset.get('data_root') or '', folder)
    if folder is not None and not _exists(folder):
        raise _absent(f'{where}.data_prefix.img', folder)
    masks = any(step.get('with_mask') for step in dicts(dataset.get('pipeline')))
    left_out = check_coco(found, path, None if '://' in (folder or '') else folder, boxes=True,
                          masks=masks)
    if learned and not found.get('annotations'):
        raise MultiSSLError(f'{where}.ann_file: {path} has no annotations to learn from')
    if left_out:
        reasons = ', '.join(f'{number} {reason}' for reason, number in left_out.items())
        _say(f'{path}: {sum(left_out.values())} of {len(found["annotations"])} annotations are '
             f'left out: {reasons}')
    classes = classes_of(dataset, cls, where)
    if classes is None:
        return None
    listed = found['categories']
    if 'Objects365' in str(dataset.get('type')):  # which sorts them
        listed = sorted(listed, key=lambda category: category['id'])
    categories = [category['name'] for category in listed]
    labels = Labels(where, path, classes, [name for name in categories if name in classes],
                    {image['id'] for image in found['images']})
    check_known(labels, categories, f'{where}.metainfo.classes',
                (dataset.get('metainfo') or {}).get('classes') is not None)
    if labels.numbered != classes:
        _say(f'{where}.metainfo.classes are {some(classes)}, but mmdet numbers them as {path} '
             f'does, {some(labels.numbered)}: predictions will have wrong names; write both in '
             'the same order')
    return labels


def _check_evaluator(evaluator: Any, where: str, labelled: Sequence[Labels]) -> None:
    """Looks whether metrics compare with the annotations of the data that they are given."""
    several = isinstance(evaluator, (list, tuple))
    for number, metric in enumerate(evaluator if several else [evaluator]):
        key = f'{where}.{number}.ann_file' if several else f'{where}.ann_file'
        path = metric.get('ann_file') if isinstance(metric, dict) else None
        if not isinstance(path, str) or not path:
            continue
        if not _exists(path):
            raise _absent(key, path)
        if len(labelled) != 1 or not osp.isfile(path) or osp.samefile(path, labelled[0].path):
            continue
        check_no_code(path, key)
        labels, found = labelled[0], _json(path)
        if not is_coco(found):
            continue
        check_coco(found, path)
        categories = [category['name'] for category in found['categories']]
        check_known(labels._replace(path=path), categories, f'{labels.where}.metainfo.classes')
        there = {image['id'] for image in found['images']}
        if labels.images - there:
            raise MultiSSLError(f'{key}: {path} has not {len(labels.images - there)} of the '
                                f'{len(labels.images)} images of {labels.where}.ann_file, '
                                f'{labels.path}; name the same file in both')
        check_same_order([labels, labels._replace(
            where=where, numbered=[name for name in categories if name in labels.classes])])


def _has_bom(path: str) -> bool:
    with open(path, 'rb') as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def _say(text: str) -> None:
    if os.environ.get('RANK', '0') == '0':
        print(f'[data] {text}')


def _json(path: str) -> Any:
    """What is in a file of JSON; None in others."""
    try:
        with open(path, encoding='utf-8-sig') as file:
            if file.read(1) not in '{[ \t\r\n':  # lists may be long
                return None
            file.seek(0)
            return json.load(file)
    except (ValueError, RecursionError):
        return None


def _absent(key: str, path: str) -> MultiSSLError:
    return MultiSSLError(f'{key}: {path} does not exist; put the data there, or say where they are '
                         f'with --cfg-options {key}=PATH')


def _datasets(dataset: object, where: str) -> Iterator[Tuple[str, dict]]:
    """A dataset's config and those that it wraps, with their keys."""
    if isinstance(dataset, dict):
        yield where, dataset
        yield from _datasets(dataset.get('dataset'), f'{where}.dataset')
        for i, child in enumerate(dataset.get('datasets') or []):
            yield from _datasets(child, f'{where}.datasets.{i}')


def _exists(path: str) -> bool:
    return not path or '://' in path or osp.exists(path)
