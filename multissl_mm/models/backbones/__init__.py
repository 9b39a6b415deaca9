from .binaural_encoder import BinauralEncoder
from .concat import ConcatBackbone
from .frozen import FrozenEncoders
from .panorama_encoder import PanoramaEncoder
from .progressive import ProgressiveColumns
from .shapes import output_shapes
from .yamnet import YAMNet

__all__ = ['BinauralEncoder', 'ConcatBackbone', 'FrozenEncoders', 'PanoramaEncoder',
           'ProgressiveColumns', 'YAMNet', 'output_shapes']
