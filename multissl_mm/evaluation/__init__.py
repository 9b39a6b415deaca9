"""Evaluations of features and metrics of sound; those on mmdet are configs (configs/benchmarks)."""
from .sound_metrics import RetrievalMetric, SemanticMetric, SuperResolutionMetric

__all__ = ['RetrievalMetric', 'SemanticMetric', 'SuperResolutionMetric']
