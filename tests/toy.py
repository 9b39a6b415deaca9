"""A model that does as it is told, in runs of a second, on one process or on several."""
import itertools
import multiprocessing
import os
import socket
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from ranks import PORT_TAKEN
from torch import Tensor, nn

from multissl_mm.registry import MODELS

_number = itertools.count()


@MODELS.register_module()
class ToyModel(BaseModel):
    """One linear layer and a batch norm, on batches of a number.

    Args:
        faults (dict): What is NaN by the step (from 1): ``loss``, ``gradient`` or ``metric``.
        rank (int): Where.
        weight_mb (int): Of a buffer without a use.
    """

    def __init__(self, faults: Optional[Dict[str, str]] = None, rank: int = 0,
                 weight_mb: int = 0) -> None:
        super().__init__()
        self.register_buffer('weight', torch.zeros(weight_mb << 20, dtype=torch.uint8))
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.faults, self.rank, self.step = faults or {}, rank, 0

    def forward(self, inputs: Tensor, mode: str = 'loss') -> Any:
        if mode != 'loss':
            return [0]
        self.step += 1
        fault = self.faults.get(str(self.step)) if get_rank() == self.rank else None
        out = self.backbone(inputs.float()[:, None].expand(-1, 2) + torch.arange(2))
        if fault == 'gradient':
            out.register_hook(lambda gradient: gradient * float('nan'))
        nan = torch.tensor(float('nan'))
        # The total is of what has `loss` in its name.
        loss = out.square().mean()
        return {'align_loss.loss': loss * nan if fault == 'loss' else loss,
                'align.accuracy': nan if fault == 'metric' else loss.detach()}


@DATASETS.register_module()
class ToyDataset(torch.utils.data.Dataset):
    metainfo: Dict[str, Any] = {}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Dict[str, Tensor]:
        return dict(inputs=torch.tensor(index))


def config(work_dir: Path, epochs: int = 2, checkpoint: Optional[dict] = None,
           **model: Any) -> Config:
    """Two steps in an epoch on one process, one on each of two.

    MMEngine keeps loggers by the name and the second of a run: two of one second would share a log.
    """
    hooks = dict(checkpoint=dict(type='multissl_mm.AtomicCheckpointHook', **(checkpoint or {})),
                 loss_guard=dict(type='multissl_mm.LossGuardHook', interval=10))
    return Config(dict(
        model=dict(type='multissl_mm.ToyModel', **model), work_dir=str(work_dir),
        experiment_name=f'toy_{next(_number)}',
        train_dataloader=dict(batch_size=4, num_workers=0, dataset=dict(type='ToyDataset'),
                              collate_fn=dict(type='default_collate'),
                              sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs), default_hooks=hooks,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.01)), randomness=dict(seed=0)))


def on_two_ranks(function: Callable[[int], Any], attempts: int = 3) -> List[str]:
    """Calls a function in two processes, as torchrun does.

    Returns:
        list[str]: What each returned, or the error that it ended with, as text.
    """
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    processes = [context.Process(target=_rank, args=(function, rank, port, queue))
                 for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    finished = [not process.is_alive() for process in processes]
    for process in processes:
        process.kill()
    assert all(finished), 'a rank hangs'
    texts = [text for _, text in sorted(queue.get() for _ in processes)]
    again = attempts > 1 and any(PORT_TAKEN in text for text in texts)
    return on_two_ranks(function, attempts - 1) if again else texts


def _rank(function: Callable[[int], Any], rank: int, port: int, queue: Any) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2',
                      MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    try:
        text = str(function(rank))
    except BaseException as e:
        text = f'{type(e).__name__}: {e}'
        traceback.print_exc()
    queue.put((rank, text))
