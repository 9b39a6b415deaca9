from .concat import ConcatBackbone
from .frozen import FrozenEncoders
from .progressive import ProgressiveColumns
from .shapes import output_shapes

__all__ = ['ConcatBackbone', 'FrozenEncoders', 'ProgressiveColumns', 'output_shapes']
