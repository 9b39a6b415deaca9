"""Which rank do the others wait for?"""
import atexit
import sys
import threading
import time
from typing import Dict, List, Optional, Tuple

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed import PrefixStore, Store, distributed_c10d

from ...registry import HOOKS


@HOOKS.register_module()
class HeartbeatHook(Hook):
    """Names the rank that is stopped or hangs, as soon as others have waited for it for a while.

    Collectives say that they waited, not for whom, and not before ``env_cfg.dist_cfg.timeout``
    seconds (600), when the job ends. A thread of each process writes to the store at which the
    ranks met how far it is and that it lives, and reads what the others write. Nothing is ended
    from here. ``tools/train.py`` adds this hook to every run of several processes.

    Args:
        after (float): Seconds without a step after which it is said. Defaults to 60.
    """

    def __init__(self, after: float = 60.) -> None:
        self.after = after
        self.progress = 0  # twice in a step: when its batch has come, and when it is done
        self._end = threading.Event()

    def before_train(self, runner: Runner) -> None:
        if get_world_size() == 1:
            return
        store = PrefixStore(f'multissl_mm/heartbeat/{runner.timestamp}',
                            distributed_c10d._get_default_store())
        thread = threading.Thread(target=self._beat, args=(store, ), daemon=True)
        thread.start()

        def stop() -> None:
            self._end.set()
            thread.join(self.after)

        self._stop = stop
        atexit.register(stop)  # in a call to the store it must not be when the interpreter ends

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Optional[dict] = None) -> None:
        self.progress += 1

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        self.progress += 1

    def after_train(self, runner: Runner) -> None:
        if get_world_size() > 1:
            self._stop()

    def _beat(self, store: Store) -> None:
        rank, posted = get_rank(), 0
        seen: Dict[int, Tuple[int, float]] = {}  # the last beat of each rank, and when it came
        own, since, said = -1, time.monotonic(), False
        while not self._end.wait(self.after / 6):
            try:
                now = self.progress
                store.add(f'progress{rank}', now - posted)
                posted = now
                store.add(f'beats{rank}', 1)
                beats = [store.add(f'beats{r}', 0) for r in range(get_world_size())]
                steps = [store.add(f'progress{r}', 0) for r in range(get_world_size())]
            except RuntimeError:  # the store has gone, and with it the job
                return
            clock = time.monotonic()
            for r, count in enumerate(beats):
                if count != seen.get(r, (-1, 0.))[0]:
                    seen[r] = count, clock
            if now != own:
                own, since, said = now, clock, False
            elif clock - since > self.after and not said:
                silent = [r for r, (_, when) in seen.items() if clock - when > self.after / 2]
                said = self._say(rank, silent, steps, clock - since)

    @staticmethod
    def _say(rank: int, silent: List[int], steps: List[int], waited: float) -> bool:
        least = [r for r, step in enumerate(steps) if step == min(steps)]
        late = silent or (least if max(steps) > min(steps) else [])
        if not late or rank in late:
            return False
        if rank == min(r for r in range(len(steps)) if r not in late):  # one line, not one of each
            what = 'gives no sign of life' if silent else 'is behind: it waits for data, or hangs'
            print(f'[rank {rank}] no step for {waited:.0f} s: rank {", ".join(map(str, late))} '
                  f'{what}. The job ends after env_cfg.dist_cfg.timeout (default: 600 s)',
                  file=sys.stderr, flush=True)
        return True
