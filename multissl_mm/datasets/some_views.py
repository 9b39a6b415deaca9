"""Some of the views that a pipeline makes, without the work for the others."""
from copy import copy
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from torch.utils.data import Dataset

from .keyed import KeyedDataset, ViewKey
from .view_transforms import CropViews


class SomeViews(Dataset):
    """Puts out some of the inputs of a :class:`KeyedDataset`, to the last bit as it does.

    What is not wanted ends in the loader's worker: it is neither sent nor preprocessed.
    :class:`CropViews` does not make it at all. Where views are made one after the other
    (mmpretrain's ``MultiView``, then ``PackInputs``), those behind the last that is wanted are not
    made. Those before it must be, since random numbers follow each other; so must everything where
    a pipeline names its inputs itself.

    Args:
        dataset (KeyedDataset): Of all views.
        names (sequence[str]): Of its inputs in their order, where they are a list.
        wanted (sequence[str]): Names of some of them, in any order; others are ignored, since a
            task makes some of what it needs itself.
    """

    def __init__(self, dataset: KeyedDataset, names: Sequence[str], wanted: Sequence[str]) -> None:
        self.wanted = set(wanted)
        self.dataset = copy(dataset)
        self.dataset.dataset, numbers = _narrowed(dataset.dataset, [
            i for i, name in enumerate(names) if name in self.wanted])
        self.names = list(names) if numbers is None else [names[i] for i in numbers]

    def __getitem__(self, key: ViewKey) -> Dict[str, Any]:
        data = self.dataset[key]
        inputs = data['inputs']
        named = inputs if isinstance(inputs, Mapping) else dict(zip(self.names, inputs))
        some = {name: value for name, value in named.items() if name in self.wanted}
        return dict(data, inputs=some if isinstance(inputs, Mapping) else list(some.values()))


def _narrowed(dataset: Any, wanted: List[int]) -> Tuple[Any, Optional[Sequence[int]]]:
    """The dataset without the work for views of other numbers, where that is possible.

    With the numbers of those that it still puts out; None: all.
    """
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    if not wanted or len(transforms) < 2:
        return dataset, None
    views, pack = transforms[-2:]
    left: Sequence[int]
    if isinstance(views, CropViews):
        left, views = wanted, views.only(wanted)
    elif [type(t).__name__ for t in (views, pack)] == ['MultiView', 'PackInputs']:
        left, views = range(wanted[-1] + 1), copy(views)
        views.transforms = views.transforms[:len(left)]
    else:
        return dataset, None
    dataset = copy(dataset)
    dataset.pipeline = copy(dataset.pipeline)
    dataset.pipeline.transforms = [*transforms[:-2], views, pack]
    return dataset, left
