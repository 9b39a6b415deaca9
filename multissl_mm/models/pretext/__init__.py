from .algorithm_task import AlgorithmTask
from .base import (
    Features,
    Keys,
    Outputs,
    PretextTask,
    Responses,
    TaskBatch,
    TaskOutput,
    behind_layers,
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

__all__ = ['Features', 'Keys', 'Outputs', 'Responses', 'TaskBatch', 'TaskOutput', 'behind_layers',
           'flatten', 'weighted', 'PretextTask',
           'MomentumContrastTask', 'MoCoV2Task', 'DenseCLTask', 'AlgorithmTask',
           'SpatialAlignmentTask', 'ForegroundAlignmentTask', 'TemporalGapTask', 'SoundTaggingTask']
