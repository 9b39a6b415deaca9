"""Some of the views that a pipeline makes, without the work for the others."""
from copy import copy
from typing import Any, Dict, Mapping, Sequence

from torch.utils.data import Dataset

from .keyed import KeyedDataset, ViewKey


class SomeViews(Dataset):
    """Puts out some of the inputs of a :class:`KeyedDataset`, to the last bit as it does.

    What is not wanted ends in the loader's worker: it is neither sent nor preprocessed. Where
    views are made one after the other (mmpretrain's ``MultiView``, then ``PackInputs``), those
    behind the last that is wanted are not made at all. Those before it must be, since random
    numbers follow each other; so must everything where a pipeline names its inputs itself.

    Args:
        dataset (KeyedDataset): Of all views.
        names (sequence[str]): Of its inputs in their order, where they are a list.
        wanted (sequence[str]): Names of some of them, in any order; others are ignored, since a
            task makes some of what it needs itself.
    """

    def __init__(self, dataset: KeyedDataset, names: Sequence[str], wanted: Sequence[str]) -> None:
        self.names, self.wanted = list(names), set(wanted)
        count = max((i + 1 for i, name in enumerate(names) if name in self.wanted), default=0)
        self.dataset = copy(dataset)
        self.dataset.dataset = _with_first_views(dataset.dataset, count) if count else \
            dataset.dataset

    def __getitem__(self, key: ViewKey) -> Dict[str, Any]:
        data = self.dataset[key]
        inputs = data['inputs']
        named = inputs if isinstance(inputs, Mapping) else dict(zip(self.names, inputs))
        some = {name: value for name, value in named.items() if name in self.wanted}
        return dict(data, inputs=some if isinstance(inputs, Mapping) else list(some.values()))


def _with_first_views(dataset: Any, count: int) -> Any:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    if [type(t).__name__ for t in transforms[-2:]] != ['MultiView', 'PackInputs']:
        return dataset
    views = copy(transforms[-2])
    views.transforms = views.transforms[:count]
    dataset = copy(dataset)
    dataset.pipeline = copy(dataset.pipeline)
    dataset.pipeline.transforms = [*transforms[:-2], views, transforms[-1]]
    return dataset
