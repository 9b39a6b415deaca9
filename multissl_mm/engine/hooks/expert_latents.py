"""Stores the latents of experts before a new backbone learns them (section 4.4)."""
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...errors import MultiSSLError
from ...models.protocols import Recorded, Staged
from ...registry import HOOKS
from ...responses.recording import keep, record
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
        if not isinstance(model, Recorded) or isinstance(model, Staged):
            raise MultiSSLError('ExpertLatentsHook is for a multissl_mm.ExpertDistillation, but '
                                f'model is a {type(model).__name__}; remove the hook')
        if model.responses.stored:
            for name in model.responses.names:
                record(runner, model, name)
        keep(runner, model, model.responses.names)
