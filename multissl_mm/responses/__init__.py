"""Keeping what a task or an expert answered (sections 4.3 and 4.4).

Where it comes from, its bank on disk, its recording, the distance to it, and how much that counts.
"""
from .bank import ResponseBank
from .distillation import (
    CaSSLe,
    FeatureDistillation,
    PredictiveDistillation,
    ResponseDistillation,
)
from .source import ResponseSource
from .weights import FallingWeights, FixedWeights, RatioWeights

__all__ = ['CaSSLe', 'FallingWeights', 'FeatureDistillation', 'FixedWeights',
           'PredictiveDistillation', 'RatioWeights', 'ResponseBank', 'ResponseDistillation',
           'ResponseSource']
