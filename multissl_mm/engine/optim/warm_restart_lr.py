"""A learning rate that restarts, and may warm up, at the start of every stage."""
from math import cos, pi
from typing import Any, List, Optional, Sequence

from mmengine.optim.scheduler import CosineRestartLR
from mmengine.optim.scheduler.param_scheduler import INF

from ...errors import MultiSSLError
from ...registry import PARAM_SCHEDULERS
from ..loops.staged import stage_lengths


@PARAM_SCHEDULERS.register_module()
class WarmRestartLR(CosineRestartLR):
    """MMEngine's cosine with restarts, in the stages of the run, with a linear warm-up in each.

    Adam at its full rate from the first step can lose contrastive tasks for long; MMEngine's
    schedules that warm up do not restart.

    Args:
        periods (sequence[int], optional): Defaults to the stages of the train loop
            (:class:`StagedTrainLoop`); where it has none, to one period until ``end``, which the
            runner sets to the end of the run.
        warmup (float): Share of a period in which the rate rises; 0 for values that are exactly
            those of ``CosineRestartLR``. Defaults to 0.3.
        restart_weights (sequence[float], optional): What the rate is multiplied with in each
            period. Defaults to 1 for all.
        eta_min (float): Defaults to 0.

    For the others see :class:`mmengine.optim.scheduler.CosineRestartLR`.

    Raises:
        MultiSSLError: If nothing says how long the periods are, or ``restart_weights`` has another
            number of them.
    """

    def __init__(self, optimizer: Any, *args: Any, periods: Optional[Sequence[int]] = None,
                 warmup: float = 0.3, restart_weights: Optional[Sequence[float]] = None,
                 eta_min: float = 0., begin: int = 0, end: int = INF, by_epoch: bool = True,
                 **kwargs: Any) -> None:
        self.warmup = warmup
        if periods is None:
            periods = _lengths(begin, end, by_epoch)
        weights = restart_weights or [1] * len(periods)
        if len(weights) != len(periods):
            raise MultiSSLError(f'restart_weights of WarmRestartLR in param_scheduler are '
                                f'{list(weights)}, but there are {len(periods)} periods; name a '
                                'weight for each')
        super().__init__(optimizer, *args, periods=list(periods), restart_weights=weights,
                         eta_min=eta_min, begin=begin, end=end, by_epoch=by_epoch, **kwargs)

    @classmethod
    def build_iter_from_epoch(cls, *args: Any, periods: Optional[Sequence[int]] = None,
                              begin: int = 0, end: int = INF,
                              **kwargs: Any) -> 'WarmRestartLR':
        """Builds a schedule that counts iterations from a config that counts epochs."""
        if periods is None:
            periods = _lengths(begin, end)
        return super().build_iter_from_epoch(*args, periods=periods, begin=begin, end=end,
                                             **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes over where a run was; how long its stages are is said by the config alone."""
        lengths = ('periods', 'cumulative_periods', 'restart_weights', 'end')
        super().load_state_dict({k: v for k, v in state_dict.items() if k not in lengths})

    def _get_value(self) -> List[float]:
        if not self.warmup:
            return super()._get_value()
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


def _lengths(begin: int, end: int, by_epoch: bool = True) -> List[int]:
    stages = stage_lengths()
    if stages and not by_epoch:
        raise MultiSSLError('WarmRestartLR in param_scheduler counts iterations, but the stages '
                            'of train_cfg are in epochs; set its by_epoch to True, with '
                            'convert_to_iter_based=True for a new rate in every iteration')
    if stages and not begin and end in (sum(stages), INF):
        return stages
    if stages or end == INF:
        raise MultiSSLError(
            'WarmRestartLR in param_scheduler knows no length: set its periods'
            + (f' for epochs {begin} to {end}, or leave begin and end out: the stages of '
               f'train_cfg are {stages} epochs' if stages else ', or the end of its only one'))
    return [end - begin]
