from .base import SoundDownstream
from .semantic_prediction import SemanticPrediction
from .super_resolution import DIRECTIONS, SpatialSuperResolution
from .video_retrieval import VideoRetrieval

__all__ = ['DIRECTIONS', 'SemanticPrediction', 'SoundDownstream', 'SpatialSuperResolution',
           'VideoRetrieval']
