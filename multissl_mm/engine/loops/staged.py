"""How long the stages of a run are: the one place that says it."""
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

from mmengine.logging import MessageHub
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...errors import MultiSSLError
from ...registry import LOOPS
from .epochs import EpochTrainLoop

_STAGES = 'multissl_mm/stages'


@LOOPS.register_module()
class StagedTrainLoop(EpochTrainLoop):
    """Trains for the epochs of all stages (section 4.3).

    ``train_cfg=dict(type='multissl_mm.StagedTrainLoop', stages=[200, 200])`` is all that a config
    says of lengths: :class:`ILStageHook`, :class:`WarmRestartLR`, :class:`ForgettingHook` and
    ``max_epochs`` follow.

    Args:
        runner (Runner): Of the training.
        dataloader (DataLoader or dict): Of the training data.
        stages (sequence[int]): Epochs of every stage, in the order of the model's tasks. 0 for the
            first means that ``load_from`` brings a finished first task.
        max_epochs (int, optional): Nothing or the sum of ``stages``.

    For the others see :class:`mmengine.runner.EpochBasedTrainLoop`.

    Raises:
        MultiSSLError: If a length is no whole number of epochs, a later stage has none, a schedule
            restarts elsewhere, or ``max_epochs`` says something else.
    """

    def __init__(self, runner: Runner, dataloader: Union[DataLoader, Dict],
                 stages: Sequence[int] = (), max_epochs: Optional[int] = None,
                 **kwargs: Any) -> None:
        if not isinstance(stages, Sequence) or not stages or any(
                not isinstance(n, (int, float)) or n % 1 or n < (k > 0)
                for k, n in enumerate(stages)) or not sum(stages):
            raise MultiSSLError(f'train_cfg.stages is {stages}, but must be a list of the epochs '
                                'of every stage, each at least 1 (0 for the first: load_from '
                                'brings its task)')
        self.stages = [int(n) for n in stages]
        if max_epochs not in (None, sum(self.stages)):
            raise MultiSSLError(f'train_cfg.max_epochs is {max_epochs}, but the stages of '
                                f'train_cfg.stages, {self.stages}, have {sum(self.stages)} epochs '
                                'in all; change train_cfg.stages and leave max_epochs out')
        super().__init__(runner, dataloader, max_epochs=sum(self.stages), **kwargs)
        tell_stages(runner.message_hub, self.stages)

    def run(self) -> Any:
        """Launches training."""
        tell_stages(self.runner.message_hub, self.stages)  # a resumed run has loaded its old ones
        for scheduler in all_schedulers(self.runner.param_schedulers):
            self._check(scheduler)
        return super().run()

    def _check(self, scheduler: Any) -> None:
        """A schedule that restarts does it where stages begin; one period for all is none."""
        periods = getattr(scheduler, 'periods', None)
        if periods is None or scheduler.begin:
            return
        epoch = 1 if scheduler.by_epoch else len(self.dataloader)
        lengths = [n / epoch for n in periods if n]
        if lengths not in ([n for n in self.stages if n], [sum(self.stages)]):
            raise MultiSSLError(
                f'the periods of {type(scheduler).__name__} in param_scheduler, {list(periods)}, '
                f'are not the stages of train_cfg, {self.stages} epochs of {len(self.dataloader)} '
                'steps; leave periods out of multissl_mm.WarmRestartLR, which then follows')


def tell_stages(hub: MessageHub, stages: Sequence[int]) -> None:
    """Writes how long the stages of a run are to where all of the run can read it.

    Schedules know no runner, hence the message hub.
    """
    hub.update_info(_STAGES, list(stages))


def stage_lengths(hub: Optional[MessageHub] = None) -> Optional[List[int]]:
    """Epochs of every stage; None where there are no stages.

    Args:
        hub (MessageHub, optional): Of the runner. Defaults to that of the newest runner.
    """
    return (hub or MessageHub.get_current_instance()).get_info(_STAGES)


def all_schedulers(found: Any) -> Iterator[Any]:
    """Schedulers of one optimizer or of several."""
    if isinstance(found, dict):
        found = list(found.values())
    for scheduler in found or []:
        if isinstance(scheduler, (list, tuple)):
            yield from all_schedulers(scheduler)
        else:
            yield scheduler
