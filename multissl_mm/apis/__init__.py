"""What a trained model is used with."""
from .sound_inferencer import SoundInferencer

__all__ = ['SoundInferencer']
