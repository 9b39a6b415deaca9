from .staged import StagedTrainLoop

__all__ = ['StagedTrainLoop']
