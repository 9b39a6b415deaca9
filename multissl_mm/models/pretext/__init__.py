from .algorithm_task import AlgorithmTask
from .base import (
    Features,
    Outputs,
    PretextTask,
    Responses,
    TaskBatch,
    TaskOutput,
    flatten,
    weighted,
)
from .densecl import DenseCLTask
from .foreground_alignment import ForegroundAlignmentTask
from .moco_v2 import MoCoV2Task
from .momentum_contrast import MomentumContrastTask
from .sound_tagging import SoundTaggingTask
from .spatial_alignment import SpatialAlignmentTask
from .temporal_gap import TemporalGapTask

__all__ = ['Features', 'Outputs', 'Responses', 'TaskBatch', 'TaskOutput', 'flatten', 'weighted',
           'PretextTask',
           'MomentumContrastTask', 'MoCoV2Task', 'DenseCLTask', 'AlgorithmTask',
           'SpatialAlignmentTask', 'ForegroundAlignmentTask', 'TemporalGapTask', 'SoundTaggingTask']
