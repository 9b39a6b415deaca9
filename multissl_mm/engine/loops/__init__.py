from .epochs import EpochTrainLoop
from .staged import StagedTrainLoop

__all__ = ['EpochTrainLoop', 'StagedTrainLoop']
