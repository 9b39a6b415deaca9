"""How much the responses of old tasks count beside the task that is learned."""
from math import cos, pi
from typing import Any, Dict, Sequence, Union

import torch
from mmengine.dist import all_reduce
from mmengine.logging import MessageHub
from torch import Tensor, nn

from ..errors import MultiSSLError
from ..models.pretext import Outputs, TaskOutput, weighted
from ..registry import MODELS
from ..utils.model import flat_gradients, refuse_checkpointing, total

_STAGE = 'multissl_mm/stage'


def tell_stage(hub: MessageHub, first: int, last: int) -> None:
    """Writes which iterations the stage is of, ``first`` to before ``last``."""
    hub.update_info(_STAGE, [first, last])


@MODELS.register_module()
class FixedWeights(nn.Module):
    """Weights that a config says.

    Args:
        names (sequence[str]): Of the tasks that become old; the algorithm gives them.
        weights (float | dict[str, float]): Of all of them or by name; those not named count 1.
    """

    def __init__(self, names: Sequence[str], weights: Union[float, Dict[str, float]] = 1.) -> None:
        super().__init__()
        if not isinstance(weights, dict):
            weights = {name: weights for name in names}
        unknown = set(weights) - set(names)
        if unknown:
            raise MultiSSLError(f'model.distill_weights names {sorted(unknown)}, but the tasks '
                                f'that become old are {list(names)}')
        self.names, self.weights = list(names), dict(weights)

    def forward(self, learned: TaskOutput, kept: Outputs, backbone: nn.Module) -> Outputs:
        """The outputs of old tasks with their losses weighted.

        Args:
            learned (TaskOutput): Of the task that is learned.
            kept (dict[str, TaskOutput]): Distillation losses of the old tasks, by name.
            backbone (nn.Module): That all losses depend on.
        """
        return {name: weighted(output, self.weights.get(name, 1.))
                for name, output in kept.items()}

    def check(self, backbone: nn.Module) -> None:
        """Refuses a backbone that they cannot be measured on."""

    def reset(self) -> None:
        """A stage starts."""


@MODELS.register_module()
class FallingWeights(FixedWeights):
    """A weight that goes from one value to another over every stage.

    It follows the iterations of the run, so that a resumed one goes on where it was.

    Args:
        names (sequence[str]): See :class:`FixedWeights`.
        start (float): At the first iteration of a stage. Defaults to 1.
        end (float): Behind its last. Defaults to 0.
        shape (str): ``cosine`` (the default) or ``linear``.
    """

    def __init__(self, names: Sequence[str], start: float = 1., end: float = 0.,
                 shape: str = 'cosine') -> None:
        super().__init__(names)
        if shape not in ('cosine', 'linear'):
            raise MultiSSLError(f"model.distill_weights.shape is {shape!r}; it must be 'cosine' or "
                                "'linear'")
        self.start, self.end, self.shape = start, end, shape

    def forward(self, learned: TaskOutput, kept: Outputs, backbone: nn.Module) -> Outputs:
        weight = self.current() if kept else self.start
        return {name: weighted(output, weight) for name, output in kept.items()}

    def current(self) -> float:
        """The weight of this iteration."""
        hub = MessageHub.get_current_instance()
        first, last = hub.get_info(_STAGE, None) or (0, 0)
        if last <= first:
            raise MultiSSLError('model.distill_weights follows the length of a stage, but no '
                                'multissl_mm.ILStageHook leads from stage to stage; give a number')
        done = min(max((hub.get_info('iter', first) - first) / (last - first), 0.), 1.)
        left = (1 + cos(pi * done)) / 2 if self.shape == 'cosine' else 1 - done
        return self.end + (self.start - self.end) * left


@MODELS.register_module()
class RatioWeights(FixedWeights):
    """Weights by which old tasks pull the backbone a given number of times as hard as the new one.

    Every ``interval`` steps the gradients of all losses on the backbone are measured, averaged over
    the ranks as :class:`GradientHook` does it, and the weight of an old task becomes ratio times
    the length of the new task's gradient by the length of its own. Such a step costs one more
    backward pass of the backbone per task. Weights are buffers: a resumed run has them, and goes on
    counting.

    Args:
        names (sequence[str]): See :class:`FixedWeights`.
        ratio (float | dict[str, float]): For all old tasks or by name; those not named have 1.
        interval (int): Steps from one measurement to the next. Defaults to 50.
        limit (float): No weight becomes larger: when a stage starts nothing has moved yet, and next
            to nothing pulls. Defaults to 100.
    """

    values: Tensor
    steps: Tensor

    def __init__(self, names: Sequence[str], ratio: Union[float, Dict[str, float]] = 1.,
                 interval: int = 50, limit: float = 100.) -> None:
        super().__init__(names, ratio)  # self.weights: the ratios
        if interval < 1 or limit <= 0:
            raise MultiSSLError(f'model.distill_weights has interval {interval} and limit {limit}; '
                                'they must be positive')
        self.interval, self.limit = interval, limit
        self.register_buffer('values', torch.ones(len(self.names)))
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self._steps = 0  # the same on the host, where reading it costs no synchronisation
        self.register_load_state_dict_post_hook(_count_on)

    def forward(self, learned: TaskOutput, kept: Outputs, backbone: nn.Module) -> Outputs:
        index = [self.names.index(name) for name in kept]
        if kept and self.training and torch.is_grad_enabled():
            if self._steps % self.interval == 0:
                self.values[index] = self._measure(learned, kept, backbone, self.values[index])
            self._steps += 1
            self.steps.fill_(self._steps)
        weights = self.values[index]  # a copy: what a later step writes is not this graph's
        return {name: TaskOutput(weighted(output, weight).losses,
                                 {**output.metrics, 'weight': weight})
                for (name, output), weight in zip(kept.items(), weights)}

    def check(self, backbone: nn.Module) -> None:
        refuse_checkpointing(backbone, 'model.distill_weights.type RatioWeights',
                             'give distill_weights as numbers')

    def _measure(self, learned: TaskOutput, kept: Outputs, backbone: nn.Module,
                 before: Tensor) -> Tensor:
        """New weights (k,) of the old tasks ``kept``."""
        # Scaled, since in half precision small gradients would vanish; what overflows is not used.
        losses = {name: 1024 * total(value.mean() for value in output.losses.values())
                  for name, output in {'': learned, **kept}.items()}
        gradients = flat_gradients(losses, backbone)
        all_reduce(gradients, op='mean')
        lengths = gradients.norm(dim=1)
        ratios = lengths.new_tensor([self.weights.get(name, 1.) for name in kept])
        new, old = lengths[0], lengths[1:]
        found = (ratios * new / old.clamp_min(1e-30)).clamp_max(self.limit)
        return torch.where(new.isfinite() & old.isfinite(), found, before)

    def reset(self) -> None:
        self.values.fill_(1.)
        self.steps.zero_()
        self._steps = 0


def _count_on(module: RatioWeights, incompatible: Any) -> None:
    module._steps = int(module.steps)
