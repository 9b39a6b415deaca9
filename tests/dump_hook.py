"""Writes what one rank has seen and what it ends with, to be compared with other ranks."""
import hashlib
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from multissl_mm.registry import HOOKS


@HOOKS.register_module()
class DumpHook(Hook):

    def __init__(self, out: str) -> None:
        self.out, self.views, self.losses = out, [], []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        views = data_batch['inputs']
        views = list(views.values()) if isinstance(views, dict) else views
        for i, sample in enumerate(data_batch['data_samples']):
            digest = [hashlib.sha1(v[i].numpy().tobytes()).hexdigest()
                      for v in views]
            self.views.append((runner.iter, sample.sample_idx, *digest))
        self.losses.append({k: float(torch.as_tensor(v).detach()) for k, v in outputs.items()})

    def after_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        torch.save(dict(state=model.state_dict(), views=self.views, losses=self.losses),
                   f'{self.out}.rank{get_rank()}')
