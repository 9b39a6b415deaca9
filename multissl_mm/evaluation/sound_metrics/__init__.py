"""Metrics of the downstream tasks of sound (section 5.1)."""
from .retrieval import RetrievalMetric, retrieval
from .semantic import SemanticMetric, average_precisions, constant_ious, ious
from .super_resolution import (
    SuperResolutionMetric,
    envelope,
    envelope_distance,
    stft_distance,
)

__all__ = ['RetrievalMetric', 'SemanticMetric', 'SuperResolutionMetric', 'average_precisions',
           'constant_ious', 'envelope', 'envelope_distance', 'ious', 'retrieval', 'stft_distance']
