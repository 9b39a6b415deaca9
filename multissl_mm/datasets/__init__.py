from .classes import CLASSES
from .ear_pairs import EAR_PAIRS, PAIR_NAMES
from .keyed import KeyedDataset, KeyedSampler, ViewKey
from .load_image import LoadImage
from .omniaudio import OmniAudioDataset
from .picture_folder import PictureFolder
from .picture_shards import PictureShards
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
           'LoadImage', 'LoadOtherSlice', 'LoadPanorama', 'LoadTurnedPairs', 'MirrorScene',
           'PackSound', 'PictureFolder', 'PictureShards', 'SoundToNoise', 'CropViews',
           'OpenPicture', 'PackViews']
