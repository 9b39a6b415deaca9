"""Which rank do the others wait for?"""
import sys
from typing import Optional, Sequence, Union

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed import PrefixStore, distributed_c10d

from ...registry import HOOKS
from ...runtime.processes import TIMEOUT
from ...utils.heartbeats import Heartbeats, named


@HOOKS.register_module()
class HeartbeatHook(Hook):
    """Names the rank that is stopped or hangs, as soon as others have waited for it for a while.

    Collectives say that they waited, not for whom, and not before ``env_cfg.dist_cfg.timeout``
    seconds (600), when the job ends. A thread of each process says how far it is and that it lives
    (:class:`multissl_mm.utils.heartbeats.Heartbeats`). Nothing is ended from here.
    ``tools/train.py`` and ``tools/test.py`` add this hook to every run of several processes.

    Args:
        after (float): Seconds without a step after which it is said. Defaults to 60.
    """

    def __init__(self, after: float = 60.) -> None:
        self.after = after
        self.progress = 0  # twice in a step: when its batch has come, and when it is done
        self._beats: Optional[Heartbeats] = None
        self._seen, self._since, self._said = 0, 0., False

    def before_run(self, runner: Runner) -> None:
        if get_world_size() == 1:
            return
        store = PrefixStore(f'multissl_mm/heartbeat/{runner.timestamp}',
                            distributed_c10d._get_default_store())
        distribution = (runner.cfg.get('env_cfg') or {}).get('dist_cfg') or {}
        self._since, self._said = 0., False
        self._beats = Heartbeats(
            store, get_rank(), get_world_size(), self.after / 6,
            distribution.get('timeout') or TIMEOUT, lambda: self.progress, self._look)
        self._beats.start()

    # A test counts up to 0: whoever has fewer batches is not behind when all have done theirs.

    def before_test_epoch(self, runner: Runner) -> None:
        self.progress = -2 * len(runner.test_loop.dataloader)

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                     mode: str = 'train') -> None:
        self.progress += mode != 'val'

    def _after_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                    outputs: Optional[Union[Sequence, dict]] = None, mode: str = 'train') -> None:
        self.progress += mode != 'val'

    def after_run(self, runner: Runner) -> None:
        if self._beats is not None:
            self._beats.stop()
            self._beats = None

    def _look(self) -> None:
        """Called by the thread after each beat."""
        beats = self._beats
        if beats is None:  # the run has ended meanwhile
            return
        if self.progress != self._seen:
            self._seen, self._since, self._said = self.progress, beats.clock, False
        elif beats.clock - self._since > self.after and not self._said:
            self._said = self._say(beats, beats.clock - self._since)

    def _say(self, beats: Heartbeats, waited: float) -> bool:
        silent, steps = beats.silent(self.after / 2), beats.steps
        behind = [r for r, step in enumerate(steps) if step < max(steps) and step == min(steps)]
        late = silent or behind
        if not late or beats.rank in late:
            return False
        # One line, not one of each; but without the store nobody knows who is there to say it.
        if not beats.answered(self.after / 2) or \
                beats.rank == min(r for r in range(len(steps)) if r not in late):
            what = 'gives no sign of life' if silent else 'is behind: it waits for data, or hangs'
            print(f'[rank {beats.rank}] no step for {waited:.0f} s: {named(late)} {what}. The job '
                  'ends after env_cfg.dist_cfg.timeout (default: 600 s)',
                  file=sys.stderr, flush=True)
        return True
