"""Datasets around datasets: where a sample of theirs comes from.

Those of MMEngine (``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset``) and of
MMPretrain (``KFoldDataset``), however they are nested.
"""
from typing import Any, List, Tuple

from ..errors import MultiSSLError


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
            'RepeatDataset or ClassBalancedDataset around such')
    return dataset, index


def origins(dataset: Any) -> List[Tuple[int, int]]:
    """Of every sample of a wrapper, which child it comes from and its index there."""
    inner = children(dataset)
    steps = (_step(dataset, index) for index in range(len(dataset)))
    numbers = {id(child): number for number, child in enumerate(inner)}
    return [(numbers[id(child)], index) for child, index in steps]


def _step(dataset: Any, index: int) -> Tuple[Any, int]:
    place = dataset._get_ori_dataset_idx(index)
    if isinstance(place, tuple):
        number, index = place
        return children(dataset)[number], int(index)
    return children(dataset)[0], int(place)
