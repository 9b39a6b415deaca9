"""Datasets around datasets: where a sample of theirs comes from.

Those of MMEngine (``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset``) and of
MMPretrain (``KFoldDataset``), however they are nested.
"""
from typing import Any, Iterator, List, Tuple

from ..errors import MultiSSLError
from .names import bare


def children(dataset: Any) -> List[Any]:
    """The datasets, or their configs, in a wrapper or in its config; none in any other."""
    if isinstance(dataset, dict):
        found = dataset
    elif hasattr(dataset, '_get_ori_dataset_idx'):
        found = vars(dataset)
    else:
        return []
    return list(found['datasets'] if 'datasets' in found else
                [found['dataset']] if 'dataset' in found else [])


def leaves(dataset: Any) -> Iterator[Any]:
    """The datasets, or their configs, around which wrappers are; one that is none is its own."""
    inner = children(dataset)
    for child in inner:
        yield from leaves(child)
    if not inner:
        yield dataset


def origin(dataset: Any, index: int) -> Tuple[Any, int]:
    """The dataset with a pipeline from which a sample comes, and its index there.

    Raises:
        MultiSSLError: If it has none.
    """
    while children(dataset):
        dataset, index = _step(dataset, index)
    if not hasattr(dataset, 'pipeline'):
        raise MultiSSLError(
            f'KeyedDataset cannot be around a {type(dataset).__name__}, which has no pipeline: it '
            'needs a dataset derived from mmengine.dataset.BaseDataset, or ConcatDataset, '
            'RepeatDataset, ClassBalancedDataset or KFoldDataset around such')
    return dataset, index


def origins(dataset: Any) -> List[Tuple[int, int]]:
    """Of every sample of a wrapper, which child it comes from and its index there."""
    inner = children(dataset)
    steps = (_step(dataset, index) for index in range(len(dataset)))
    numbers = {id(child): number for number, child in enumerate(inner)}
    return [(numbers[id(child)], index) for child, index in steps]


def check_nested(cfg: Any, where: str) -> None:
    """Looks at a dataset's config, and at those in it, before MMEngine builds it.

    Args:
        cfg (Any): Should be a dict, or a dataset that is built.
        where (str): Of it, in the config.

    Raises:
        MultiSSLError: Names the key that has no dataset, or that a wrapper cannot use.
    """
    if not isinstance(cfg, dict):
        if isinstance(cfg, str) or not hasattr(cfg, '__getitem__'):
            raise MultiSSLError(f'{where} is {cfg!r}, not the config of a dataset, a dict with its '
                                'type')
        return
    if 'datasets' in cfg:
        inner = cfg['datasets']
        if not isinstance(inner, (list, tuple)) or not inner:
            raise MultiSSLError(f'{where}.datasets is '
                                f'{"a dict" if isinstance(inner, dict) else repr(inner)}, not a '
                                'list with the config of at least one dataset')
        for number, child in enumerate(inner):
            check_nested(child, f'{where}.datasets.{number}')
    if 'dataset' in cfg:
        check_nested(cfg['dataset'], f'{where}.dataset')
    if cfg.get('indices') in (0, [], ()):
        raise MultiSSLError(f'{where}.indices is {cfg["indices"]!r}, which leaves no sample; leave '
                            'it out, or let it be a number from 1 on')
    times = cfg.get('times')
    if bare(cfg.get('type')) == 'RepeatDataset' and not (
            isinstance(times, int) and times > 0):
        raise MultiSSLError(f'{where}.times is {times!r}; RepeatDataset repeats by a whole number '
                            'from 1 on')


def _step(dataset: Any, index: int) -> Tuple[Any, int]:
    place = dataset._get_ori_dataset_idx(index)
    if isinstance(place, tuple):
        number, index = place
        return children(dataset)[number], int(index)
    if hasattr(dataset, '_ori_indices'):  # KFoldDataset, whose child has become the fold alone
        place = index
    return children(dataset)[0], int(place)
