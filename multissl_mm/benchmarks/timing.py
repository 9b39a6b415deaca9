"""Times that can be compared on a machine whose speed drifts."""
import statistics
import time
from typing import Callable, Dict, List, Mapping, Sequence

import torch
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track

#: Seconds of every round, by name.
Seconds = Dict[str, List[float]]


def quiet() -> None:
    """Without MMEngine's lines on every parameter of a model."""
    if not MMLogger.check_instance_created('benchmarks'):
        MMLogger.get_instance('benchmarks', log_level='ERROR')


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int,
                clock: Callable[[], float] = time.perf_counter, warm_up: bool = True) -> Seconds:
    """Times functions round by round, each once in every round, so that all are slowed alike.

    Args:
        functions (mapping[str, callable]): Without arguments. On a GPU their work is waited for.
        rounds (int): That count.
        clock (callable): In seconds. ``time.process_time`` counts those of all threads of this
            process alone, whatever else the machine does.
        warm_up (bool): Whether another round goes before them; where one takes minutes it need not.
    """
    seconds: Seconds = {name: [] for name in functions}
    for i in track(range(not warm_up, rounds + 1), 'interleaved rounds',
                   console=Console(stderr=True)):
        for name, function in functions.items():
            start = clock()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if i:
                seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(seconds, others))
