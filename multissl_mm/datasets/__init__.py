from .classes import CLASSES
from .ear_pairs import EAR_PAIRS, PAIR_NAMES
from .keyed import KeyedDataset, KeyedSampler, ViewKey
from .omniaudio import OmniAudioDataset
from .pictures import OpenPicture
from .scene_groups import SceneGroupSampler
from .sound_transforms import (
    DrawRotation,
    LabelsToTargets,
    LoadClip,
    LoadOtherSlice,
    LoadPanorama,
    LoadTurnedPairs,
    MirrorScene,
    PackSound,
    SoundToNoise,
)
from .view_transforms import CropViews, PackViews

__all__ = ['CLASSES', 'EAR_PAIRS', 'PAIR_NAMES', 'KeyedDataset', 'KeyedSampler', 'ViewKey',
           'OmniAudioDataset', 'SceneGroupSampler', 'DrawRotation', 'LabelsToTargets', 'LoadClip',
           'LoadOtherSlice', 'LoadPanorama', 'LoadTurnedPairs', 'MirrorScene', 'PackSound',
           'SoundToNoise', 'CropViews', 'OpenPicture', 'PackViews']
