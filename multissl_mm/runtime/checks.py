"""What is looked at before anything is built."""
import json
import os.path as osp
import tempfile
from typing import Iterator, Sequence, Tuple

from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop, Runner

from ..errors import MultiSSLError
from ..utils.listed import check_coco, check_data_list, check_list, check_voc
from .config import dicts


def check_temporary() -> None:
    """Looks for a folder for temporary files, by way of which loaders' workers hand over batches.

    Raises:
        MultiSSLError: If none can be written, because it is full, say.
    """
    try:
        tempfile.gettempdir()
    except OSError as e:
        raise MultiSSLError(f'{e.strerror}: they are full, or cannot be written; free some room '
                            'there, or set the environment variable TMPDIR to another one') from e


def check_stage_hook(cfg: Config) -> None:
    """Looks for the hook that leads a model from stage to stage.

    Raises:
        MultiSSLError: If the model learns its tasks one after the other and nothing leads it.
    """
    kind = str((cfg.get('model') or {}).get('type')).rpartition('.')[2]
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    staged = kind in ('IncrementalLearning', 'Rehearsal', 'ProgressiveNet')
    if staged and len(cfg.model.get('tasks', [])) > 1 and not any(
            'ILStageHook' in str((hook or {}).get('type')) for hook in hooks):
        raise MultiSSLError(f'{kind} would learn its first task for ever: add default_hooks.stage='
                            "dict(type='multissl_mm.ILStageHook') and, for the epochs of every "
                            "stage, train_cfg=dict(type='multissl_mm.StagedTrainLoop', "
                            'stages=[...])')


def check_steps(runner: Runner) -> None:
    """Looks whether an epoch has a step, and warns of what is longer than it.

    That is a queue that is longer than the data, and a cosine of another length than the run.

    Args:
        runner (Runner): Before it trains; its training data are built.

    Raises:
        MultiSSLError: If there are fewer samples than a batch, and such batches are dropped.
    """
    loader = runner.train_dataloader
    if not hasattr(loader, 'batch_size') or not hasattr(loader, 'dataset'):
        return
    samples, ranks = len(loader.dataset), runner.world_size
    if not len(loader):
        on = f' on each of {ranks} ranks' if ranks > 1 else ''
        raise MultiSSLError(
            f'train_dataloader: {samples} samples are less than a batch of {loader.batch_size}'
            f'{on}, and with drop_last no epoch would have a step of the optimizer; give more '
            'data, a smaller train_dataloader.batch_size, or train_dataloader.drop_last=False')
    for entry in dicts(runner.cfg.get('param_scheduler')):
        length, by_epoch = entry.get('T_max'), entry.get('by_epoch', True)
        run = runner.max_epochs if by_epoch and not isinstance(
            runner.train_loop, IterBasedTrainLoop) else runner.max_iters
        if isinstance(length, int) and length + entry.get('begin', 0) != run:
            runner.logger.warning(
                f'T_max of {entry.get("type")} is {length} {"epochs" if by_epoch else "steps"}, '
                f'but the run has {run}: the learning rate will not end where the run does; leave '
                'T_max out, and it follows')
    for entry in dicts(runner.cfg.get('model')):
        length = entry.get('queue_len')
        if isinstance(length, int) and length > samples:
            runner.logger.warning(
                f'queue_len of {entry.get("name") or entry.get("type")} is {length}, more than '
                f'the {samples} samples of the training data: among the negatives of a sample are '
                'older views of itself; a shorter queue is better')


def check_data(cfg: Config, splits: Sequence[str]) -> None:
    """Looks for the data folders and annotation files that a config names, and into these.

    Raises:
        MultiSSLError: Names the key and the path of the first that is not there, what cannot be
            used of an annotation file, or the classes that it does not have.
    """
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        for where, dataset in _datasets((loader or {}).get('dataset'),
                                        f'{split}_dataloader.dataset'):
            root, ann = dataset.get('data_root') or '', dataset.get('ann_file')
            paths = [('data_root', [root])]
            if isinstance(ann, str) and ann:
                paths.append(('ann_file', [osp.join(root, ann), ann]))
            for key, candidates in paths:
                if isinstance(candidates[0], str) and not any(map(_exists, candidates)):
                    raise MultiSSLError(
                        f'{where}.{key}: {candidates[0]} does not exist; put the data there, or '
                        f'say where they are with --cfg-options {where}.{key}=PATH')
            found = next(filter(osp.isfile, paths[-1][1]), None) if len(paths) > 1 else None
            if found is not None and 'Coco' in str(dataset.get('type')):
                _check_coco(found, dataset, where)
            elif found is not None and 'VOCDataset' in str(dataset.get('type')):
                part = (dataset.get('data_prefix') or {}).get('sub_data_root', '')
                check_voc(found, osp.join(root, part, dataset.get('ann_subdir', 'Annotations')))
            elif found is not None and found.endswith('.txt'):
                check_list(found)
            elif found is not None and found.endswith('.json'):
                check_data_list(found)


def _check_coco(ann_file: str, dataset: dict, where: str) -> None:
    try:
        with open(ann_file, encoding='utf-8-sig') as file:
            found = json.load(file)
    except ValueError as error:
        raise MultiSSLError(f'{where}.ann_file: {ann_file} is no annotation file of COCO '
                            f'({type(error).__name__}: {error})') from error
    prefix = dataset.get('data_prefix')
    folder = prefix.get('img') if isinstance(prefix, dict) else None
    if folder is not None and not osp.isabs(folder):
        folder = osp.join(dataset.get('data_root') or '', folder)
    masks = any(step.get('with_mask') for step in dicts(dataset.get('pipeline')))
    check_coco(found, ann_file, folder if folder is None or _exists(folder) else None,
               boxes=True, masks=masks)
    classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, (list, tuple)):
        known = [category['name'] for category in found['categories']]
        _check_classes(ann_file, known, classes, where)


def _check_classes(ann_file: str, known: Sequence[str], classes: Sequence[str], where: str
                   ) -> None:
    absent = [name for name in classes if name not in known]
    if absent:
        raise MultiSSLError(
            f'{where}.metainfo.classes are {", ".join(classes)}, but the categories of {ann_file} '
            f'are {", ".join(known)}: no {", ".join(absent)}; write both the same, capitals too')


def _datasets(dataset: object, where: str) -> Iterator[Tuple[str, dict]]:
    """A dataset's config and those that it wraps, with their keys."""
    if isinstance(dataset, dict):
        yield where, dataset
        yield from _datasets(dataset.get('dataset'), f'{where}.dataset')
        for i, child in enumerate(dataset.get('datasets') or []):
            yield from _datasets(child, f'{where}.datasets.{i}')


def _exists(path: str) -> bool:
    return not path or '://' in path or osp.exists(path)
