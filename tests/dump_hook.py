"""What one rank has seen, to be compared with other ranks."""
import hashlib
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner


class DumpHook(Hook):
    """Digests of the views and the losses of every step."""

    def __init__(self) -> None:
        self.views, self.losses = [], []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        views = data_batch['inputs']
        views = list(views.values()) if isinstance(views, dict) else views
        for i, sample in enumerate(data_batch['data_samples']):
            digest = [hashlib.sha1(b''.join(part[i].numpy().tobytes() for part in (
                [v] if isinstance(v, torch.Tensor) else v))).hexdigest() for v in views]
            self.views.append((runner.iter, sample.sample_idx, *digest))
        self.losses.append({k: float(torch.as_tensor(v).detach()) for k, v in outputs.items()})
