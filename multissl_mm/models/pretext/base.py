"""What a pretext task is, and what a batch is to it."""
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

#: Stage outputs of a backbone for every named view, e.g. ``{'query': (c5,)}``.
Features = Dict[str, Tuple[Tensor, ...]]
#: What becomes of key views, by the layers behind the momentum backbone; None: its features.
Keys = Dict[Optional[nn.Module], Features]
#: Named tensors (N, ...) that a task's own layers put out.
Responses = Dict[str, Tensor]


@dataclass
class TaskBatch:
    """What an algorithm hands to the tasks that are active in a step; four different things.

    Attributes:
        features (dict[str, tuple[Tensor]]): Of the trained backbone, by view: each (N, C, ...).
        keys (dict[nn.Module, dict[str, tuple[Tensor]]]): Of the momentum backbone, by view, behind
            the :attr:`~PretextTask.key_layers` of each task; constants.
        inputs (dict[str, Tensor]): What tasks take of a batch as it is, (N, ...): views, a video
            for a branch of their own, ground truth.
        samples (sequence, optional): What the data pipeline packed with the views, N elements.
    """
    features: Features = field(default_factory=dict)
    keys: Keys = field(default_factory=dict)
    inputs: Dict[str, Tensor] = field(default_factory=dict)
    samples: Optional[Sequence] = None

    @property
    def key_features(self) -> Features:
        """Of the momentum backbone, by view, for tasks without :attr:`~PretextTask.key_layers`."""
        return self.keys.get(None, {})


class TaskOutput(NamedTuple):
    """What a task gives back; scalars by name.

    Attributes:
        losses (mapping[str, Tensor]): Are summed and minimised.
        metrics (mapping[str, Tensor]): Are only watched, whatever their names.
    """
    losses: Mapping[str, Tensor]
    metrics: Mapping[str, Tensor] = MappingProxyType({})  # shared by all that have none


#: What a step gives, by task (or expert).
Outputs = Dict[str, TaskOutput]


def weighted(output: TaskOutput, weight: Union[float, Tensor]) -> TaskOutput:
    """The same with its losses times a weight."""
    return output._replace(losses={k: weight * v for k, v in output.losses.items()})


def flatten(outputs: Mapping[str, TaskOutput]) -> TaskOutput:
    """Outputs of several tasks as one, under names that say whose they are."""
    return TaskOutput(
        {f'{task}.{k}': v for task, output in outputs.items() for k, v in output.losses.items()},
        {f'{task}.{k}': v for task, output in outputs.items() for k, v in output.metrics.items()})


class PretextTask(BaseModule, metaclass=ABCMeta):
    """One self-supervised objective, with layers of its own, on features it did not compute.

    The algorithm that owns the backbone asks a task what it needs (:attr:`views`,
    :attr:`key_views`, :attr:`inputs`, and :meth:`make`, which makes views and labels that the data
    pipeline does not know of), its responses (:meth:`responses`), its loss (:meth:`loss`), and how
    far its responses moved from older ones (:meth:`distill_loss`).
    """

    #: Views that must pass through the trained backbone.
    views: Tuple[str, ...] = ()
    #: Views that must pass through the momentum copy of the backbone.
    key_views: Tuple[str, ...] = ()
    #: What else of a batch the task takes as it is: :attr:`TaskBatch.inputs`.
    inputs: Tuple[str, ...] = ()
    #: Views of the data pipeline that :meth:`make` starts from.
    made_from: Tuple[str, ...] = ()
    #: For each of :attr:`views` another view of the same sample, where there is one.
    other_views: Mapping[str, str] = MappingProxyType({})
    #: Responses that are L2-normalised vectors, (N, ..., C), by the projector that they come from.
    projections: Mapping[str, Tuple[str, ...]] = MappingProxyType({})

    @property
    @abstractmethod
    def layers(self) -> nn.Module:
        """The trained layers that :meth:`responses` goes through; what a teacher copies."""

    @property
    def key_layers(self) -> Optional[nn.Module]:
        """What key features go through, where the task needs nothing else of them.

        They are given ``(x, )``, the last feature of a key view, and return a tuple of (N, ...),
        which the task finds in :attr:`TaskBatch.keys`. Between ranks that travels instead of the
        feature maps. By default there are none, and the task has ``batch.key_features``.
        """
        return None

    def make(self, views: Mapping[str, Tensor], samples: Optional[Sequence]) -> Dict[str, Tensor]:
        """Views and labels of the task's own, made of a batch on the model's device.

        Called once a step while the task is active, and when its responses are recorded. Random
        choices must be drawn with :func:`~multissl_mm.utils.keyed_random.keyed_integers`, so that
        the same view of a sample always has the same label.

        Args:
            views (mapping[str, Tensor]): All that the data pipeline gives, preprocessed, (N, ...).
            samples (sequence, optional): What the pipeline packed with them.

        Returns:
            dict[str, Tensor]: (N, ...) under new names, which :attr:`views` and :attr:`inputs` may
            name.
        """
        return {}

    @abstractmethod
    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        """What the task's own layers put out, row for row independent of the rest of the batch.

        Args:
            batch (TaskBatch): With :attr:`~TaskBatch.features` of :attr:`views`.
            layers (nn.Module, optional): A copy of :attr:`layers` to go through instead.

        Returns:
            dict[str, Tensor]: Named tensors of shape (N, ...), sample by sample.
        """

    @abstractmethod
    def loss(self, batch: TaskBatch) -> TaskOutput:
        """The task's own objective on ground truth that the batch carries."""

    @abstractmethod
    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        """Distance of responses to the ones the task is asked to keep (section 4.3).

        Args:
            responses (dict): From :meth:`responses`.
            old (dict): The same names and shapes, recorded when the task was finished.

        Returns:
            TaskOutput: Losses that are zero where nothing moved.
        """

    def match(self, responses: Responses, old: Responses) -> Responses:
        """Old responses to :attr:`other_views`, sorted as those to :attr:`views` are.

        Args:
            responses (dict): From :meth:`responses`.
            old (dict): The same names and shapes, of the other views.
        """
        return old

    def score(self, responses: Responses, inputs: Dict[str, Tensor]) -> Dict[str, float]:
        """How well the task is solved, for people to read: accuracies, correlations.

        Args:
            responses (dict): From :meth:`responses`, of a whole set in its order.
            inputs (dict): Those of :attr:`inputs` that are one number per sample, (N,).
        """
        raise NotImplementedError(f'{type(self).__name__} has no score')

    @property
    def scored(self) -> bool:
        """Whether the task has a :meth:`score`; contrast with a queue has none."""
        return type(self).score is not PretextTask.score

    def update_momentum(self, momentum: float) -> None:
        """Moves the task's momentum layers, if it has any, one step towards :attr:`layers`."""

    def reset(self) -> None:
        """Makes momentum layers equal to :attr:`layers` and empties queues: a stage starts."""

    def extra_repr(self) -> str:
        names: List[str] = [f'views={self.views}', f'key_views={self.key_views}']
        if self.inputs:
            names.append(f'inputs={self.inputs}')
        return ', '.join(names)


def behind_layers(tasks: Iterable[PretextTask], features: Features) -> Keys:
    """What tasks take of the features of their key views."""
    keys: Keys = {}
    for task in tasks:
        for view in task.key_views:
            found = features[view]
            if task.key_layers is not None:
                found = tuple(task.key_layers(found[-1:]))
            keys.setdefault(task.key_layers, {})[view] = found
    return keys
