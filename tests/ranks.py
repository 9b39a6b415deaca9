"""Functions on several gloo ranks, in forks of this process, which have nothing to import."""
import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, List

import torch
import torch.distributed.nn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

#: In gloo's error where another process was at the port that it took for itself, on a busy machine.
PORT_TAKEN = 'connectFullMesh'


def _child(rank: int, world: int, folder: Path, store: str, function: Callable, args: tuple,
           kwargs: dict) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world),
                      MASTER_ADDR='127.0.0.1')  # what torchrun says
    torch.distributed.init_process_group(
        'gloo', f'file://{folder}/{store}', rank=rank, world_size=world,
        timeout=timedelta(seconds=60))  # a rank that another one waits for in vain fails
    # The group goes with this process. To destroy it would wait for its threads, and these, on
    # their way out of the last exchange, may wait for Python: with torch 2.4 for ever.
    torch.save(function(*args, **kwargs), folder / f'rank{rank}')


def on_ranks(folder: Path, function: Callable, *args: Any, world: int = 2,
             **kwargs: Any) -> List[Any]:
    """What ``function`` returns on every rank.

    Args:
        folder (Path): Where ranks meet, empty; it is made if it is not there.
    """
    folder.mkdir(exist_ok=True)
    for attempt in range(3):
        try:
            torch.multiprocessing.start_processes(
                _child, (world, folder, f'store{attempt}', function, args, kwargs), nprocs=world,
                start_method='fork')
            break
        except torch.multiprocessing.ProcessRaisedException as error:
            if attempt == 2 or PORT_TAKEN not in str(error):
                raise
    return [torch.load(folder / f'rank{rank}', weights_only=False) for rank in range(world)]


class SyncedNorm(_BatchNorm):
    """What SyncBN is on GPUs: batch norm over the equal batches of all ranks."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not torch.distributed.is_initialized():
            return super().forward(x)

        def mean(y: Tensor) -> Tensor:  # per channel, over all ranks; gradients cross over, too
            total = torch.distributed.nn.functional.all_reduce(y.mean([0, *range(2, y.dim())]))
            return (total / torch.distributed.get_world_size()).view(-1, *[1] * (y.dim() - 2))

        average = mean(x)
        centred = x - average
        var = mean(centred.square())
        with torch.no_grad():
            n = x.numel() / x.size(1) * torch.distributed.get_world_size()
            self.running_mean.lerp_(average.flatten(), self.momentum)
            self.running_var.lerp_(var.flatten() * n / (n - 1), self.momentum)
            self.num_batches_tracked += 1
        shape = (-1, *[1] * (x.dim() - 2))
        return (centred * (var + self.eps).rsqrt() * self.weight.view(shape)
                + self.bias.view(shape))

    def _check_input_dim(self, x: Tensor) -> None:
        pass


def sync_norms(model: nn.Module) -> nn.Module:
    """Makes every batch norm one over all ranks; keys and weights stay."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SyncedNorm
    return model
