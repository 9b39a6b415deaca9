from .algorithm_task import AlgorithmTask
from .base import Features, PretextTask, Responses
from .densecl import DenseCLTask
from .moco_v2 import MoCoV2Task
from .momentum_contrast import MomentumContrastTask

__all__ = ['Features', 'Responses', 'PretextTask', 'MomentumContrastTask', 'MoCoV2Task',
           'DenseCLTask', 'AlgorithmTask']
