"""Stores the latents of experts before a new backbone learns them (section 4.4)."""
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...errors import MultiSSLError
from ...models.algorithms import ExpertDistillation
from ...registry import HOOKS
from ...responses.recording import keyed_sampler, record
from ...utils.model import unwrap


@HOOKS.register_module()
class ExpertLatentsHook(Hook):
    """Records what every expert of an :class:`ExpertDistillation` answers, where it is missing.

    A resumed run, and any other run with the same experts, data and views and the same
    ``model.responses.root``, finds the latents recorded.
    """

    priority = 'NORMAL'

    def before_train(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        if not isinstance(model, ExpertDistillation):
            raise MultiSSLError('ExpertLatentsHook is for a multissl_mm.ExpertDistillation, but '
                                f'model is a {type(model).__name__}; remove the hook')
        if model.responses.replicas is not None:
            keyed_sampler(runner).replicas = model.responses.replicas
        if model.responses.stored:
            for name in model.expert_names:
                with torch.random.fork_rng(devices=[]):
                    record(runner, model, name)
