"""Multi-task: all pretext tasks at once (section 4.2)."""
from typing import Any, Dict, Optional, Sequence

from torch import Tensor

from ...errors import MultiSSLError
from ...registry import MODELS
from .base import MultiSSL, Views, needed, prefixed


@MODELS.register_module()
class MultiTask(MultiSSL):
    """Weighted sum of the tasks' losses on one pass of the backbone (section 4.2).

    With a single task this is that task's own pretraining.

    Args:
        loss_weights (dict[str, float], optional): By task name; tasks that are not named count 1.

    For the other arguments see :class:`MultiSSL`.
    """

    def __init__(self, *args: Any, loss_weights: Optional[Dict[str, float]] = None,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_weights = dict(loss_weights or {})
        unknown = set(self.loss_weights) - set(self.tasks)
        if unknown:
            raise MultiSSLError(f'model.loss_weights names {sorted(unknown)}, but model.tasks has '
                                f'{list(self.tasks)}')

    def loss(self, views: Views, data_samples: Optional[Sequence]) -> Dict[str, Tensor]:
        tasks = list(self.tasks.values())
        feats = self.encode(self.backbone, views, needed(tasks, 'views'))
        key_feats = self.encode_keys(views, tasks)
        losses: Dict[str, Tensor] = {}
        for name, task in self.tasks.items():
            own = task.loss(task.responses(feats), feats, key_feats, data_samples)
            losses.update(prefixed(name, own, self.loss_weights.get(name, 1.)))
        return losses
