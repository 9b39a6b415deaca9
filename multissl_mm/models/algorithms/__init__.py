from .base import MultiSSL
from .expert_distillation import ExpertDistillation
from .incremental import IncrementalLearning
from .multi_task import MultiTask
from .progressive import ProgressiveNet
from .rehearsal import Rehearsal
from .staged import StagedMultiSSL

__all__ = ['MultiSSL', 'StagedMultiSSL', 'MultiTask', 'IncrementalLearning', 'ProgressiveNet',
           'Rehearsal', 'ExpertDistillation']
