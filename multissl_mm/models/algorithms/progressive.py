"""Progressive columns: a column of the backbone per task (section 4.4)."""
from typing import Any, Optional, Sequence

from ...errors import MultiSSLError
from ...registry import MODELS
from ..backbones.progressive import ProgressiveColumns
from ..pretext import Outputs
from .base import Views
from .staged import StagedMultiSSL


@MODELS.register_module()
class ProgressiveNet(StagedMultiSSL):
    """Stage k trains column k of the backbone on task k; earlier columns never change.

    Nothing has to be kept by a loss: a finished task's column is frozen, and later columns take
    from it what they need by their laterals (Rusu et al. 2016). With one task it is that task's
    own pretraining. The backbone is a :class:`ProgressiveColumns` with a column per task.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.backbone, ProgressiveColumns):
            raise MultiSSLError('ProgressiveNet: model.backbone is a '
                                f'{type(self.backbone).__name__}; it must be a '
                                'multissl_mm.ProgressiveColumns')
        if len(self.backbone.columns) != len(self.task_names):
            raise MultiSSLError(f'ProgressiveNet: model.backbone has {len(self.backbone.columns)} '
                                f'columns, but model.tasks {len(self.task_names)} tasks')
        self.set_stage(0)

    def set_stage(self, stage: int, warming_up: bool = False) -> None:
        super().set_stage(stage, warming_up)
        self.backbone.set_column(stage)
        if self.momentum_backbone is not None:
            self.momentum_backbone.module.set_column(stage)

    def loss(self, views: Views, samples: Optional[Sequence]) -> Outputs:
        name = self.task_names[self._stage]
        task = self.tasks[name]
        return {name: task.loss(self.learning_batch(views, samples, [task]))}
