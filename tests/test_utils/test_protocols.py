"""What a thing has, however it is found."""
import importlib
import pkgutil
from typing import Protocol, runtime_checkable

import torch
from torch import nn

import multissl_mm
from multissl_mm.utils.protocols import Attributes


@runtime_checkable
class Counts(Attributes, Protocol):
    count: torch.Tensor
    layer: nn.Module

    def step(self) -> None:
        """One more."""


class Counter(nn.Module):

    def __init__(self, buffer='count', layer='layer'):
        super().__init__()
        self.register_buffer(buffer, torch.zeros(()))
        self.add_module(layer, nn.Identity())

    def step(self):
        self.count += 1


def test_buffers_layers_and_methods_are_found():
    """From Python 3.12 on typing's own check finds neither of the first two."""
    assert isinstance(Counter(), Counts)
    assert not isinstance(Counter(buffer='sum'), Counts)
    assert not isinstance(Counter(layer='other'), Counts)
    assert not isinstance(nn.Identity(), Counts)
    without = Counter()
    without.step = None  # there all the same, as for `hasattr`
    assert isinstance(without, Counts)


def test_all_that_asks_for_attributes_asks_in_this_way():
    found = []
    for module in pkgutil.walk_packages(multissl_mm.__path__, 'multissl_mm.'):
        if module.name.endswith('__main__'):
            continue
        for cls in vars(importlib.import_module(module.name)).values():
            if getattr(cls, '_is_runtime_protocol', False) and cls.__module__ == module.name and \
                    cls.__dict__.get('__annotations__'):
                found.append(cls.__name__)
                assert issubclass(type(cls), type(Attributes)), cls
    assert {'Staged', 'Recorded', 'Watchable', 'ResNetLike'} <= set(found)
