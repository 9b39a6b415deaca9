"""What a pipeline does with a segment of :class:`OmniAudioDataset`.

Everything is read piece by piece: of a recording of minutes, two seconds.
"""
import os.path as osp
import random
from functools import lru_cache
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import soundfile
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement
from torch import Tensor
from torchaudio.functional import resample

from ..errors import MultiSSLError
from ..registry import TRANSFORMS
from ..utils.files import check_readable
from ..utils.shards import open_array, opened, state_of_file
from .ear_pairs import EAR_PAIRS, PAIR_NAMES
from .omniaudio import clip_frames, middle


def read_track(path: str, start: float, seconds: float, rate: int) -> np.ndarray:
    """A piece (seconds * rate,), float32, of a mono recording.

    Raises:
        MultiSSLError: If the file is not what the index says; names it and what is wrong.
    """
    count = int(round(seconds * rate))
    try:
        with soundfile.SoundFile(opened(path)) as file:
            if file.channels != 1 or file.samplerate != rate:
                raise MultiSSLError(f'{path} has {file.channels} channels at {file.samplerate} Hz, '
                                    f'the index says 1 at {rate} Hz; run the converter again', path)
            file.seek(min(int(round(start * rate)), file.frames))
            sound = file.read(count, dtype='float32')
    except (soundfile.LibsndfileError, OSError) as error:
        check_readable(path)
        raise MultiSSLError(f'{path} cannot be read ({error}); restore it, or run the converter '
                            'again, which leaves its scene out', path) from error
    if len(sound) != count:
        raise MultiSSLError(f'{path} ends at {start + len(sound) / rate:.2f} s, before the segment '
                            f'at {start:.2f} s does; it was cut off: restore it, or run the '
                            'converter again', path)
    if not np.isfinite(sound).all():
        bad = start + int(np.argmin(np.isfinite(sound))) / rate
        raise MultiSSLError(f'{path} has a sample that is not a number at {bad:.2f} s; restore it, '
                            'or run the converter again, which leaves its scene out', path)
    return sound


def _read_pair(results: dict, pair: int, start: float, seconds: float) -> Tensor:
    ears = [read_track(results['tracks'][str(track)], start, seconds, results['sample_rate'])
            for track in EAR_PAIRS[pair]]
    clip = torch.from_numpy(np.stack(ears))
    rate = results['wanted_rate']
    if rate != results['sample_rate']:
        clip = resample(clip, results['sample_rate'], rate)
        # Rounded up where the rates are no multiples of each other.
        clip = clip[:, :int(round(seconds * rate))]
    return clip


@TRANSFORMS.register_module()
class LoadClip(BaseTransform):
    """Reads what one pair of ears hears of a segment: ``clip`` (2, S), float32.

    Also sets ``turn`` k: the pair, and with it all that is seen, is turned 90 k degrees to the
    right; and ``start`` in seconds, a whole number of video frames.

    Args:
        seconds (float): T. Defaults to 2.
        pair (str | int): ``random`` among those that the scene has, or 0 to 3.
        max_shift (float): The start is shifted by up to so many seconds. Defaults to 0.
        sample_rate (int, optional): In Hz; recordings of another rate are resampled.
    """

    def __init__(self, seconds: float = 2., pair: Union[str, int] = 'random',
                 max_shift: float = 0., sample_rate: Optional[int] = None) -> None:
        self.seconds, self.pair, self.max_shift = seconds, pair, max_shift
        self.sample_rate = sample_rate

    def transform(self, results: dict) -> dict:
        pairs = results['pairs']
        pair = random.choice(pairs) if self.pair == 'random' else int(self.pair)
        if pair not in pairs:
            raise MultiSSLError(f'scene {results["scene"]} has no {PAIR_NAMES[pair]} pair (its '
                                f'tracks {EAR_PAIRS[pair]}); set LoadClip.pair to \'random\' or '
                                f'one of {pairs}')
        if results['duration'] < self.seconds:
            raise MultiSSLError(f'scene {results["scene"]} lasts {results["duration"]:.1f} s, less '
                                f'than LoadClip.seconds, {self.seconds:g}')
        start = results['start'] + random.uniform(-self.max_shift, self.max_shift)
        frames = clip_frames(start, self.seconds, results['duration'], results['fps'])
        # Sound and frames begin together.
        results['start'] = start = frames.start / results['fps']
        results['turn'], results['seconds'] = pair, self.seconds
        results['wanted_rate'] = self.sample_rate or results['sample_rate']
        results['clip'] = _read_pair(results, pair, start, self.seconds)
        results['sounds'] = ['clip']
        return results


@TRANSFORMS.register_module()
class LoadOtherSlice(BaseTransform):
    """A second slice of a longer clip, of the same pair (task C): ``other`` (2, S) and ``gap``.

    The distance of their starts is uniform in 0 to T_max - T, before or after; ``gap`` is it as a
    share of T_max - T.

    Args:
        max_seconds (float): T_max. Defaults to 10.
    """

    def __init__(self, max_seconds: float = 10.) -> None:
        self.max_seconds = max_seconds

    def transform(self, results: dict) -> dict:
        longest = self.max_seconds - results['seconds']
        last = results['duration'] - results['seconds']
        start = results['start']
        if max(start, last - start) < longest:  # whatever the gap: it shows at once
            raise MultiSSLError(
                f'scene {results["scene"]} lasts {results["duration"]:.1f} s, too short for two '
                f'slices up to {longest:.1f} s apart around {start:.1f} s; lower '
                'LoadOtherSlice.max_seconds or leave the scene out of the split')
        gap = random.uniform(0, longest)
        inside = [t for t in (start - gap, start + gap) if 0 <= t <= last]
        results['other'] = _read_pair(results, results['turn'], random.choice(inside),
                                      results['seconds'])
        results['gap'] = torch.tensor(gap / longest, dtype=torch.float32)
        results['sounds'].append('other')
        return results


@TRANSFORMS.register_module()
class LoadTurnedPairs(BaseTransform):
    """What the other three pairs hear of the clip (S3R): ``turned`` (3, 2, S).

    In the order in which the head turns to the right, by 90, 180 and 270 degrees.
    """

    def transform(self, results: dict) -> dict:
        clips = []
        for step in (1, 2, 3):
            pair = (results['turn'] + step) % len(EAR_PAIRS)
            missing = [t for t in EAR_PAIRS[pair] if str(t) not in results['tracks']]
            if missing:
                raise MultiSSLError(
                    f'scene {results["scene"]} has no track {missing[0]} of the '
                    f'{PAIR_NAMES[pair]} pair, which S3R has to predict; leave such scenes out '
                    'with OmniAudioDataset.whole_scenes=True')
            clips.append(_read_pair(results, pair, results['start'], results['seconds']))
        results['turned'] = torch.stack(clips)
        results['sounds'].append('turned')
        return results


@lru_cache(maxsize=512)
def _open_array(path: str, state: Tuple[int, ...]) -> Any:
    return open_array(path)


@TRANSFORMS.register_module()
class LoadPanorama(BaseTransform):
    """Reads the frames of a clip as the turned pair sees them.

    Args:
        keys (sequence[str]): ``flow`` (T, 2, H, W), in pixels per frame; ``foreground``
            (T, 3, H, W), RGB in 0..1 where something moves, else 0; ``frames`` (T, 3, H, W);
            ``masks`` (T, H, W), where something moves; ``labels`` (T, H, W), classes from 1, 0 for
            nothing.
    """

    def __init__(self, keys: Sequence[str] = ('flow', )) -> None:
        unknown = set(keys) - {'flow', 'foreground', 'frames', 'masks', 'labels'}
        if unknown:
            raise MultiSSLError(f'LoadPanorama.keys has {sorted(unknown)}; there are flow, '
                                'foreground, frames, masks and labels')
        self.keys = tuple(keys)

    def transform(self, results: dict) -> dict:
        frames = clip_frames(*(results[k] for k in ('start', 'seconds', 'duration', 'fps')))
        self.span = slice(frames.start, frames.stop)
        for key in self.keys:
            video: np.ndarray
            if key == 'flow':  # (T, H, W, 2)
                video = self._read(results, 'flow').astype(np.float32)
            elif key in ('labels', 'masks'):
                video = self._read(results, key)
            else:
                video = self._read(results, 'frames').astype(np.float32) / 255
                if key == 'foreground':
                    video *= self._read(results, 'masks')[..., None]
            # The pair has turned to the right: what was there comes to the middle.
            video = np.roll(video, -results['turn'] * video.shape[2] // 4, axis=2)
            shown = torch.from_numpy(np.ascontiguousarray(video))
            results[key] = shown.permute(0, 3, 1, 2).contiguous() if shown.dim() == 4 else shown
        results['panoramas'] = [*results.get('panoramas', []), *self.keys]
        return results

    def _read(self, results: dict, name: str) -> np.ndarray:
        path = results.get('packed', {}).get(f'{name}.npy',
                                             osp.join(results['arrays'], f'{name}.npy'))
        try:
            array = _open_array(path, state_of_file(path))
        except (OSError, ValueError) as error:
            check_readable(path)
            raise MultiSSLError(
                f'{path} cannot be read ({error}); tools/dataset_converters/omniaudio.py writes '
                'it' + (', and label_omniaudio.py the labels of real recordings'
                        if name == 'labels' else ''), path) from error
        if len(array) < self.span.stop:
            raise MultiSSLError(f'{path} has {len(array)} frames, but the clip needs up to '
                                f'{self.span.stop}; run the converter again', path)
        if array.shape[2] % 8:
            raise MultiSSLError(f'{path}: frames are {array.shape[2]} columns wide; turns need a '
                                'multiple of 8, see --size of the converter')
        return array[self.span]


@TRANSFORMS.register_module()
class DrawRotation(BaseTransform):
    """The angle by which task A turns the panorama: ``rotation``, in 0..bins - 1.

    The task rolls it itself, so that another task of the same step sees it as it was.
    """

    def __init__(self, bins: int = 8) -> None:
        self.bins = bins

    def transform(self, results: dict) -> dict:
        results['rotation'] = torch.tensor(random.randrange(self.bins))
        return results


@TRANSFORMS.register_module()
class MirrorScene(BaseTransform):
    """Now and then left is right, in all that is heard and seen.

    Args:
        prob (float): How often. Defaults to 0.5.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        if random.random() >= self.prob:
            return results
        for key in results['sounds']:
            results[key] = results[key].flip(-2)
        if 'turned' in results:  # by 90 degrees to the right is now to the left
            results['turned'] = results['turned'].flip(0)
        for key in results.get('panoramas', []):
            results[key] = results[key].flip(-1)
            if key == 'flow':
                results[key][:, 0] *= -1  # what went to the right goes to the left
        return results


@TRANSFORMS.register_module()
class LabelsToTargets(BaseTransform):
    """What supervision takes of the labels of a clip's frames, after they were mirrored.

    ``semantics`` (H, W), int64: the labels of the frame in the middle, one second after the start
    of two, as in the paper's predecessor. ``restricted`` (H, W), bool, where ``masks`` were
    loaded: the only pixels that the predecessor counts, those of a class where something moves.
    ``classes`` (K,), float: 1 for the classes that are seen in any frame.

    Args:
        num_classes (int): K. Defaults to 5.
        least (int): A class is there if it has so many pixels in a frame. Defaults to 3.
    """

    def __init__(self, num_classes: int = 5, least: int = 3) -> None:
        self.num_classes, self.least = num_classes, least

    def transform(self, results: dict) -> dict:
        labels = results['labels']
        if int(labels.max()) > self.num_classes:
            raise MultiSSLError(f'labels of scene {results["scene"]} go up to {int(labels.max())}, '
                                f'but LabelsToTargets.num_classes is {self.num_classes}')
        results['semantics'] = middle(labels).long()
        if 'masks' in results:
            results['restricted'] = (middle(results['masks']) > 0) & (middle(labels) > 0)
        results['classes'] = torch.stack([
            ((labels == k).flatten(1).sum(1) >= self.least).any()
            for k in range(1, self.num_classes + 1)]).float()
        return results


@TRANSFORMS.register_module()
class SoundToNoise(BaseTransform):
    """A control: sounds are white noise of the same power, so nothing can be heard.

    What is still learned was read off the picture.
    """

    def transform(self, results: dict) -> dict:
        for key in results['sounds']:
            sound = results[key]
            results[key] = torch.randn_like(sound) * sound.square().mean().sqrt()
        return results


@TRANSFORMS.register_module()
class PackSound(BaseTransform):
    """What a model gets: ``inputs``, a dict of tensors, and ``data_samples``.

    Args:
        keys (sequence[str]): Of the inputs. ``scene`` is the number of the scene.
    """

    def __init__(self, keys: Sequence[str] = ('clip', )) -> None:
        self.keys = tuple(keys)

    def transform(self, results: dict) -> Dict[str, object]:
        missing: List[str] = [k for k in self.keys if k not in results]
        if missing:
            raise MultiSSLError(f'PackSound.keys names {", ".join(missing)}, but no transform '
                                f'before it made that; there are {", ".join(results)}')
        sample = BaseDataElement(metainfo={
            k: results[k] for k in ('scene', 'start', 'turn') if k in results})
        return dict(inputs={k: self._tensor(results[k]) for k in self.keys}, data_samples=sample)

    @staticmethod
    def _tensor(value: Union[Tensor, int]) -> Optional[Tensor]:
        return value if isinstance(value, Tensor) else torch.tensor(value)
