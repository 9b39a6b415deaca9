"""A learning rate that warms up at the start of every stage."""
from math import cos, pi
from typing import Any, List

from mmengine.optim.scheduler import CosineRestartLR

from ...registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmRestartLR(CosineRestartLR):
    """MMEngine's cosine with restarts, with a linear warm-up in every period.

    Adam at its full rate from the first step can lose contrastive tasks for long; MMEngine's
    schedules that warm up do not restart.

    Args:
        warmup (float): Share of a period in which the rate rises. Defaults to 0.3.

    For the others see :class:`mmengine.optim.scheduler.CosineRestartLR`; ``restart_weights``
    default to 1 and ``eta_min`` to 0.
    """

    def __init__(self, optimizer: Any, *args: Any, periods: List[int], warmup: float = 0.3,
                 restart_weights: Any = None, eta_min: float = 0., **kwargs: Any) -> None:
        self.warmup = warmup
        super().__init__(optimizer, *args, periods=periods, eta_min=eta_min,
                         restart_weights=restart_weights or [1] * len(periods), **kwargs)

    def _get_value(self) -> List[float]:
        stage = self.get_position_from_periods(self.last_step, self.cumulative_periods)
        if stage is None:  # after the last period
            return [self.eta_min for _ in self.base_values]
        start = self.cumulative_periods[stage] - self.periods[stage]
        # In the middle of the step: neither the first nor the last one stands still.
        done = (self.last_step - start + .5) / self.periods[stage]
        share = done / self.warmup if done < self.warmup else .5 * (
            1 + cos(pi * (done - self.warmup) / (1 - self.warmup)))
        weight = self.restart_weights[stage]
        return [self.eta_min + (base * weight - self.eta_min) * share for base in self.base_values]
