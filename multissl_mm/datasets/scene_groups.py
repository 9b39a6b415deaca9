"""Batches in which segments of one scene stand next to each other."""
from typing import Any, Iterator, List

import torch

from ..errors import MultiSSLError
from ..registry import DATA_SAMPLERS
from .keyed import KeyedSampler, ViewKey


@DATA_SAMPLERS.register_module()
class SceneGroupSampler(KeyedSampler):
    """Deals groups of ``group_size`` segments of one scene, which task B tells apart.

    Every epoch the segments of each scene are shuffled and cut into groups, what does not fill one
    is left out, and whole groups are shuffled and dealt to the ranks. Use it with a batch size
    that is a multiple of the group size, and ``drop_last``.

    Args:
        dataset: With ``scenes()``, as :class:`OmniAudioDataset` has, or a :class:`KeyedDataset`
            around one.
        group_size (int): Defaults to 8.

    For the others see :class:`mmengine.dataset.DefaultSampler`.
    """

    def __init__(self, dataset: Any, group_size: int = 8, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        source = getattr(dataset, 'dataset', dataset)
        if not hasattr(source, 'scenes'):
            raise MultiSSLError('SceneGroupSampler needs a dataset whose scenes() says what scene '
                                f'a sample is of, e.g. OmniAudioDataset, not a '
                                f'{type(source).__name__}')
        self.group_size = group_size
        self.by_scene: List[List[int]] = []
        found: dict = {}
        for index, scene in enumerate(source.scenes()):
            found.setdefault(scene, []).append(index)
        self.by_scene = list(found.values())
        groups = sum(len(s) // group_size for s in self.by_scene)
        if groups < self.world_size:
            raise MultiSSLError(f'SceneGroupSampler.group_size is {group_size}, but of '
                                f'{len(self.by_scene)} scenes only {groups} groups can be made, '
                                f'fewer than the {self.world_size} processes')
        self.num_samples = groups // self.world_size * group_size
        self.total_size = self.num_samples * self.world_size

    def __iter__(self) -> Iterator[ViewKey]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)

        def order(count: int) -> List[int]:
            return (torch.randperm(count, generator=generator) if self.shuffle
                    else torch.arange(count)).tolist()

        groups = []
        for scene in self.by_scene:
            shuffled = [scene[i] for i in order(len(scene))]
            groups += [shuffled[i:i + self.group_size]
                       for i in range(0, len(shuffled) - self.group_size + 1, self.group_size)]
        groups = [groups[i] for i in order(len(groups))]
        own = groups[self.rank:len(groups) // self.world_size * self.world_size:self.world_size]
        return self.keyed(i for group in own for i in group)
