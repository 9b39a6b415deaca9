"""What is not finite ends a run, on all ranks, with advice."""
from typing import List, NoReturn

from mmengine.dist import all_gather_object, get_world_size
from mmengine.runner import Runner

from ...errors import MultiSSLError
from ...utils.checkpoint import not_finite, some
from ...utils.model import unwrap


def check_weights(runner: Runner, step: int) -> None:
    """Looks at all parameters and buffers; must be called on all ranks at the same time.

    Args:
        step (int): The last one that they saw, from 1.

    Raises:
        MultiSSLError: On all ranks, if a value on one of them is NaN or infinite.
    """
    found = by_rank(not_finite(unwrap(runner.model).state_dict()))
    if found:
        stop(runner, f'after step {step}: {some(found)} is not finite')


def by_rank(names: List[str]) -> List[str]:
    """Names that any rank gives, with that rank where there are several; the same on all."""
    every = all_gather_object(names)
    if get_world_size() == 1:
        return list(names)
    ranks = {name: [str(r) for r, theirs in enumerate(every) if name in theirs]
             for names in every for name in names}
    return [f'{name} (rank {", ".join(which)})' for name, which in ranks.items()]


def stop(runner: Runner, seen: str) -> NoReturn:
    """Ends the run and names the checkpoint to go on from, which is a good one.

    Args:
        seen (str): What is wrong, and in which step.
    """
    last = runner.message_hub.runtime_info.get('last_ckpt')
    raise MultiSSLError(
        f'{seen}; no checkpoint of it is written. Lower the learning rate or the weight of that '
        f'task and resume from {last or "the start (no checkpoint yet)"}')
