"""What a trained model is used with."""
from .encoder import Encoder, NormalisePixels, ToSpectrograms
from .files import write_predictions
from .image_inferencer import Gallery, ImageInferencer
from .loading import is_random, load_encoder, load_model
from .sound_inferencer import SoundInferencer

__all__ = ['Encoder', 'Gallery', 'ImageInferencer', 'NormalisePixels', 'SoundInferencer',
           'ToSpectrograms', 'is_random', 'load_encoder', 'load_model', 'write_predictions']
