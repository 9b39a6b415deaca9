"""YAMNet's weights out of a TensorFlow checkpoint, and what it calls a sound."""
import csv
import math
import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ..errors import MultiSSLError
from ..models.backbones import YAMNet
from ..models.sound_preprocessor import SoundPreprocessor
from ..utils.checkpoint import compare, fill, load_checkpoint_file, save_atomically
from ..utils.files import AnyPath
from ..utils.sounds import read_mono
from .tensorflow import read_variables

#: Layers with weights in Keras' order: convolutions and their batch norms, then the classifier.
NAME = re.compile(r'layer_with_weights-(\d+)/(\w+)/\.ATTRIBUTES/VARIABLE_VALUE$')
NORM = dict(beta='bias', moving_mean='running_mean', moving_variance='running_var')
#: A second, and a hop of half of one, in frames of 10 ms: what it was trained on.
PATCH, HOP = 96, 48


def convert_yamnet(folder: AnyPath, out: AnyPath) -> List[str]:
    """Writes YAMNet for :class:`BinauralEncoder`, as ``configs/sound/yamnet.py`` has it.

    Args:
        folder (str): A saved model: ``variables/variables.index``, ``variables/variables.data-*``
            and ``assets/yamnet_class_map.csv``.
        out (str): Checkpoint to write: ``backbone.ear.*``, the classifier, which no encoder loads,
            and in its ``meta`` the names of the classes.

    Returns:
        list[str]: Those names.

    Raises:
        MultiSSLError: If a variable is missing or of another shape; nothing is written then.
    """
    units, classifier = _renamed(read_variables(Path(folder) / 'variables' / 'variables'))
    difference = compare(YAMNet().state_dict(), units)
    if any(difference) or set(classifier) != {'weight', 'bias'}:
        raise MultiSSLError(f'{folder}: these are not the variables of YAMNet; '
                            f'{difference.in_words(20)}')
    with open(Path(folder) / 'assets' / 'yamnet_class_map.csv', newline='') as file:
        classes = [row['display_name'] for row in csv.DictReader(file)]
    if len(classes) != len(classifier['bias']):
        raise MultiSSLError(f'{folder}: {len(classes)} names of classes, but '
                            f'{len(classifier["bias"])} are told apart')
    state_dict = {**{f'backbone.ear.{k}': v for k, v in units.items()},
                  **{f'classifier.{k}': v for k, v in classifier.items()}}
    save_atomically(dict(state_dict=state_dict, meta=dict(classes=classes)), out)
    return classes


def _renamed(variables: Dict[str, np.ndarray]) -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """State dicts of :class:`YAMNet` and of the linear classifier."""
    found: Dict[int, Dict[str, Tensor]] = {}
    for name, array in variables.items():
        match = NAME.search(name)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = torch.from_numpy(array.copy())
    units, classifier = {}, {}
    for layer, values in found.items():
        unit, norm = f'units.{layer // 2}', layer % 2
        for kind, value in values.items():
            if kind == 'depthwise_kernel':  # (3, 3, C, 1)
                units[f'{unit}.0.weight'] = value.permute(2, 3, 0, 1).contiguous()
            elif kind == 'kernel' and value.dim() == 4:  # (height, width, in, out)
                units[f'{unit}.0.weight'] = value.permute(3, 2, 0, 1).contiguous()
            elif kind in NORM and norm:
                units[f'{unit}.1.{NORM[kind]}'] = value
                units[f'{unit}.1.weight'] = torch.ones_like(value)  # its norms only shift
                units[f'{unit}.1.num_batches_tracked'] = torch.tensor(0)
            else:
                classifier[dict(kernel='weight').get(kind, kind)] = value.t().contiguous()
    return units, classifier


class Tag(NamedTuple):
    """A class and its probability."""
    name: str
    share: float


class SoundTagger:
    """What YAMNet hears, to look at whether a converted one is whole.

    Args:
        checkpoint (str): That :func:`convert_yamnet` wrote.
    """

    rate = 16000

    def __init__(self, checkpoint: AnyPath) -> None:
        content = load_checkpoint_file(checkpoint)
        state_dict, self.classes = content['state_dict'], content['meta']['classes']
        self.encoder = YAMNet(self.rate).eval()
        fill(self.encoder, {k[len('backbone.ear.'):]: v for k, v in state_dict.items()
                            if k.startswith('backbone.ear.')}, f'{checkpoint} has no YAMNet')
        self.weight, self.bias = state_dict['classifier.weight'], state_dict['classifier.bias']
        self.sound = SoundPreprocessor(512, 400, 160, floor=1e-12)

    @torch.no_grad()
    def __call__(self, wave: Tensor, top: int = 10) -> List[Tag]:
        """The most probable classes of a sound (S,) at 16 kHz, from -1 to 1, as loud as it is.

        Probabilities are means over pieces of a second, as YAMNet's authors take them.
        """
        power = self.sound.spectrogram(wave.float()).abs().square()
        x = power.clamp_min(self.sound.floor).log()[None, None]  # (1, 1, F, T)
        if x.size(-1) < PATCH:
            raise MultiSSLError(f'a sound of {len(wave) / self.rate:.2f} s is too short; YAMNet '
                                f'needs {PATCH / 100:g} s')
        patches = x.unfold(3, PATCH, HOP)[0].permute(2, 0, 1, 3)  # (pieces, 1, F, PATCH)
        features = self.encoder(patches)[0].mean((2, 3))
        shares = (features @ self.weight.t() + self.bias).sigmoid().mean(0)
        best = shares.topk(top)
        return [Tag(self.classes[i], p) for p, i in zip(best.values.tolist(),
                                                        best.indices.tolist())]


def hear_files(tagger: SoundTagger, paths: Sequence[AnyPath], top: int = 5
               ) -> Iterator[Tuple[str, List[Tag]]]:
    """What is heard in silence, noise, a tone of 1 kHz and files, of any rate and mixed to mono."""
    time = torch.arange(3 * tagger.rate) / tagger.rate
    noise = torch.rand(len(time), generator=torch.Generator().manual_seed(0))
    yield 'silence', tagger(torch.zeros_like(time), top)
    yield 'noise', tagger(2 * noise - 1, top)
    yield 'tone of 1 kHz', tagger(torch.sin(2 * math.pi * 1000 * time), top)
    for path in paths:
        wave = torch.from_numpy(read_mono(path, tagger.rate))
        # What is shorter than a second is heard again and again, as it would be in a game.
        yield str(path), tagger(wave.repeat(-(-tagger.rate // max(len(wave), 1))), top)
