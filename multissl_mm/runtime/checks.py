"""What is looked at before anything is built."""
import os.path as osp
from typing import Iterator, Sequence, Tuple

from mmengine.config import Config

from ..errors import MultiSSLError


def check_stage_hook(cfg: Config) -> None:
    """Looks for the hook that leads a model from stage to stage.

    Raises:
        MultiSSLError: If the model learns its tasks one after the other and nothing leads it.
    """
    kind = str((cfg.get('model') or {}).get('type')).rpartition('.')[2]
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    if kind in ('IncrementalLearning', 'ProgressiveNet') and len(cfg.model.get('tasks', [])) > 1 \
            and not any('ILStageHook' in str((hook or {}).get('type')) for hook in hooks):
        raise MultiSSLError(f'{kind} would learn its first task for ever: add default_hooks.stage='
                            "dict(type='multissl_mm.ILStageHook') and, for the epochs of every "
                            "stage, train_cfg=dict(type='multissl_mm.StagedTrainLoop', "
                            'stages=[...])')


def check_data(cfg: Config, splits: Sequence[str]) -> None:
    """Looks for the data folders and annotation files that a config names.

    Raises:
        MultiSSLError: Names the key and the path of the first that is not there.
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


def _datasets(dataset: object, where: str) -> Iterator[Tuple[str, dict]]:
    """A dataset's config and those that it wraps, with their keys."""
    if isinstance(dataset, dict):
        yield where, dataset
        yield from _datasets(dataset.get('dataset'), f'{where}.dataset')
        for i, child in enumerate(dataset.get('datasets') or []):
            yield from _datasets(child, f'{where}.datasets.{i}')


def _exists(path: str) -> bool:
    return not path or '://' in path or osp.exists(path)
