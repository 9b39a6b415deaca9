"""OmniAudio, from its public layout to what is trained on."""
from .labels import Labelled, label_omniaudio
from .options import Options
from .scenes import Converted, convert, convert_scene, find_scenes

__all__ = ['Converted', 'Labelled', 'Options', 'convert', 'convert_scene', 'find_scenes',
           'label_omniaudio']
