"""What hooks, recordings and evaluations ask of a model, as types.

A hook says which of these it needs, and refuses a model that is none. Any model that has these
attributes will do, whether it is of this package or not.
"""
from typing import (
    Any,
    Callable,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    runtime_checkable,
)

from torch import Tensor, nn

from ..utils.protocols import Attributes
from .pretext.base import Responses, TaskBatch, TaskOutput


class Source(Protocol):
    """Where kept responses come from, see :class:`multissl_mm.responses.ResponseSource`."""
    stored: bool
    replicas: Optional[int]

    def read(self, name: str, samples: Optional[Sequence]) -> Responses:
        """Stored responses of ``name`` to the samples of a batch, each (N, ...)."""


@runtime_checkable
class Staged(Attributes, Protocol):
    """Learns one task after the other; :class:`ILStageHook` leads it."""
    task_names: List[str]
    stage: Tensor

    def set_stage(self, stage: int, warming_up: bool = False) -> None:
        """Learn task ``stage`` (from 0) from now on."""

    def start_task(self, name: str) -> None:
        """The stage of a task begins: its momentum layers are equal to what they follow."""

    def finish_task(self, name: str) -> None:
        """The stage of a task is over."""


@runtime_checkable
class Recorded(Attributes, Protocol):
    """Is held to responses of old tasks or of experts, which may be stored."""
    responses: Any  # a Source
    data_preprocessor: nn.Module
    view_names: Sequence[str]

    def name_views(self, inputs: Any) -> Mapping[str, Tensor]:
        """The views of a batch by name, whichever way the data pipeline packs them."""

    def responders(self, name: str) -> nn.Module:
        """All that the responses of ``name`` come from."""

    def response_kind(self) -> str:
        """What is kept, in a word: banks of another kind are refused."""

    def response_views(self, name: str) -> Tuple[str, ...]:
        """Entries of a batch's inputs that its responses are made of."""

    def current_responses(self, name: str, views: Mapping[str, Tensor],
                          samples: Optional[Sequence] = None) -> Responses:
        """What is to be kept, as the model is now; in eval mode, to be recorded."""


@runtime_checkable
class Watchable(Attributes, Protocol):
    """Has pretext tasks on one backbone, whose losses and scores can be looked at."""
    backbone: nn.Module
    tasks: nn.ModuleDict
    data_preprocessor: nn.Module
    #: Called with the outputs of a step by task while their graph is alive.
    on_outputs: Optional[Callable[[Mapping[str, TaskOutput]], None]]

    def name_views(self, inputs: Any) -> Mapping[str, Tensor]:
        """The views of a batch by name, whichever way the data pipeline packs them."""

    def batch(self, views: Mapping[str, Tensor], samples: Optional[Sequence],
              tasks: Sequence[nn.Module]) -> TaskBatch:
        """Features and inputs of the given tasks, in one pass of the backbone."""
