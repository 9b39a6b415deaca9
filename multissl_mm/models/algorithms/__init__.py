from .base import MultiSSL
from .incremental import IncrementalLearning
from .multi_task import MultiTask

__all__ = ['MultiSSL', 'MultiTask', 'IncrementalLearning']
