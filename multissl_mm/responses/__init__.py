"""Keeping what a task or an expert answered (sections 4.3 and 4.4).

Where it comes from, its bank on disk, its recording, and the distance to it.
"""
from .bank import ResponseBank
from .distillation import FeatureDistillation, PredictiveDistillation, ResponseDistillation
from .source import ResponseSource

__all__ = ['FeatureDistillation', 'PredictiveDistillation', 'ResponseBank',
           'ResponseDistillation', 'ResponseSource']
