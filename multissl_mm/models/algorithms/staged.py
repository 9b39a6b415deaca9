"""What algorithms that learn one task after the other have in common."""
from typing import Any, List

import torch

from .base import MultiSSL


class StagedMultiSSL(MultiSSL):
    """Learns task k in stage k; :class:`ILStageHook` leads it from stage to stage.

    All modules exist from the start and the stage is a buffer, so that a checkpoint of any stage
    loads and resumes. The order of ``tasks`` is that of the stages. An algorithm that holds
    finished tasks to responses has a :class:`ResponseSource` as ``responses``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.task_names: List[str] = list(self.tasks)
        self.register_buffer('stage', torch.zeros((), dtype=torch.long))
        self._stage = 0  # the same number on the host, where reading it costs no synchronisation
        self.warming_up = False
        self.register_load_state_dict_post_hook(_set_loaded_stage)

    def set_stage(self, stage: int, warming_up: bool = False) -> None:
        """Learn task ``stage`` (from 0) from now on.

        Args:
            stage (int): From 0.
            warming_up (bool): Train the new task's layers alone, see :class:`ILStageHook`.
        """
        self.stage.fill_(stage)
        self._stage, self.warming_up = stage, warming_up

    def finish_task(self, name: str) -> None:
        """Called when the stage of a task is over, before the next one starts."""


def _set_loaded_stage(module: StagedMultiSSL, incompatible: Any) -> None:
    module.set_stage(int(module.stage))
