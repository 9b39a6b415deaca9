"""A tiny encoder of pictures, and a tiny VOC2007."""
from pathlib import Path
from typing import Any

import numpy as np
import tiny
from mmengine.config import Config
from PIL import Image

COLOURS = dict(blue=(30, 30, 220), green=(30, 200, 30), red=(220, 30, 30))


def encoder_config(**backbone: Any) -> Config:
    """Of a tiny ResNet that sees pixels from 0 to 1."""
    return Config(dict(
        default_scope='mmpretrain',
        data_preprocessor=dict(mean=[0., 0., 0.], std=[255.] * 3, to_rgb=True),
        model=dict(type='None', backbone=dict(tiny.backbone(), **backbone))))


def write_voc(root: Path, count: int = 36) -> Path:
    """Pictures of up to two coloured squares on noise; a class is a colour."""
    rng = np.random.default_rng(0)
    (root / 'JPEGImages').mkdir(parents=True)
    (root / 'ImageSets' / 'Main').mkdir(parents=True)
    for split, first in (('trainval', 0), ('test', count)):
        labels = rng.choice([1, -1], (count, len(COLOURS)))
        for i, row in enumerate(labels, first):
            image = rng.integers(90, 130, (48, 40, 3), dtype=np.uint8)
            for c, (label, colour) in enumerate(zip(row, COLOURS.values())):
                if label == 1:
                    image[:, c * 13:c * 13 + 13] = colour
            Image.fromarray(image).save(root / 'JPEGImages' / f'{i:06d}.jpg', quality=95)
        labels[0] = 0
        for c, name in enumerate(COLOURS):
            text = ''.join(f'{i:06d} {label:2d}\n' for i, label in enumerate(labels[:, c], first))
            (root / 'ImageSets' / 'Main' / f'{name}_{split}.txt').write_text(text)
        (root / 'ImageSets' / 'Main' / f'{split}.txt').write_text('no labels here\n')
    return root
