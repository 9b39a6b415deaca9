"""What a pretext task is."""
from abc import ABCMeta, abstractmethod
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor, nn

#: Stage outputs of a backbone for every named view, e.g. ``{'query': (c5,)}``.
Features = Dict[str, Tuple[Tensor, ...]]
Responses = Dict[str, Tensor]


class PretextTask(BaseModule, metaclass=ABCMeta):
    """One self-supervised objective, with layers of its own, on features it did not compute.

    The algorithm that owns the backbone asks a task four things: which views it needs
    (:attr:`views`, :attr:`key_views`), its responses to their features (:meth:`responses`), its
    loss (:meth:`loss`), and how far its responses moved from older ones (:meth:`distill_loss`).
    """

    #: Views that must pass through the trained backbone.
    views: Tuple[str, ...] = ()
    #: Views that must pass through the momentum copy of the backbone.
    key_views: Tuple[str, ...] = ()
    #: What else of a batch the task takes, as it is: video for a branch of its own, ground truth.
    #: It stands among the features, a tuple of one tensor (N, ...) each.
    inputs: Tuple[str, ...] = ()

    @property
    @abstractmethod
    def layers(self) -> nn.Module:
        """The trained layers that :meth:`responses` goes through; what a teacher copies."""

    @abstractmethod
    def responses(self, feats: Features, layers: Optional[nn.Module] = None) -> Responses:
        """What the task's own layers put out, row for row independent of the rest of the batch.

        Args:
            feats (dict): Backbone features of :attr:`views`.
            layers (nn.Module, optional): A copy of :attr:`layers` to go through instead.

        Returns:
            dict[str, Tensor]: Named tensors of shape (N, ...), sample by sample.
        """

    @abstractmethod
    def loss(self, feats: Features, key_feats: Features,
             data_samples: Optional[Sequence]) -> Dict[str, Tensor]:
        """The task's own objective on ground truth that the batch carries.

        Args:
            feats (dict): Backbone features of :attr:`views`.
            key_feats (dict): Momentum backbone features of :attr:`key_views`, constants.
            data_samples (sequence, optional): What the data pipeline packed with the views.

        Returns:
            dict[str, Tensor]: Scalars; those whose name contains ``loss`` are summed.
        """

    @abstractmethod
    def distill_loss(self, responses: Responses, old: Responses) -> Dict[str, Tensor]:
        """Distance of responses to the ones the task is asked to keep (section 4.3).

        Args:
            responses (dict): From :meth:`responses`.
            old (dict): The same names and shapes, recorded when the task was finished.

        Returns:
            dict[str, Tensor]: Scalars, zero where nothing moved.
        """

    def score(self, responses: Responses, inputs: Dict[str, Tensor]) -> Dict[str, float]:
        """How well the task is solved, for people to read: accuracies, correlations.

        Args:
            responses (dict): From :meth:`responses`, of a whole set in its order.
            inputs (dict): Those of :attr:`inputs` that are one number per sample, (N,).
        """
        raise NotImplementedError(f'{type(self).__name__} has no score')

    def update_momentum(self, momentum: float) -> None:
        """Moves the task's momentum layers, if it has any, one step towards :attr:`layers`."""

    def reset(self) -> None:
        """Makes momentum layers equal to :attr:`layers` and empties queues: a stage starts."""

    def extra_repr(self) -> str:
        names: List[str] = [f'views={self.views}', f'key_views={self.key_views}']
        if self.inputs:
            names.append(f'inputs={self.inputs}')
        return ', '.join(names)
