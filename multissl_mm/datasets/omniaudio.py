"""OmniAudio: 360-degree street scenes with four pairs of ears."""
import json
import os
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmengine.dataset import BaseDataset
from mmengine.fileio import get_text

from ..errors import MultiSSLError
from ..registry import DATASETS
from ..utils.content import file_size
from ..utils.digest import digest
from ..utils.listed import absent, check_inside, check_there
from ..utils.shards import INDEX, is_member, read_members
from .classes import CLASSES
from .ear_pairs import EAR_PAIRS

#: Of the index that the converter writes.
VERSION = 1
CONVERTER = 'tools/dataset_converters/omniaudio.py'
#: What of it is written into checkpoints, as the dataset's metainfo.
RECORDED = ('sample_rate', 'fps', 'size', 'rows')


@DATASETS.register_module()
class OmniAudioDataset(BaseDataset):
    """Segments of 2 s of OmniAudio (section 5.1), from the index that the converter writes.

    A sample names files and times; transforms read what they need of them: :class:`LoadClip`,
    :class:`LoadOtherSlice`, :class:`LoadPanorama`. A folder that ``pack.py`` has packed is read as
    the one that it was packed from.

    Args:
        split (str, optional): A key of ``splits``; None for all scenes.
        splits (dict[str, tuple[int, int]]): First and last scene of each split. Defaults to those
            of the paper's predecessor.
        sound_root (str, optional): Folder of the recordings, if they have moved since.
        every_pair (bool): One sample per segment and ear pair, in that order, as evaluations want;
            otherwise a sample is a segment, and :class:`LoadClip` chooses the pair.
        needs (sequence[str]): Leave out scenes without these arrays, e.g. those without ``labels``.
        whole_scenes (bool): Leave out scenes that lack a pair (S3R needs all four).

    Other arguments as for :class:`mmengine.dataset.BaseDataset`; ``data_root`` is the folder that
    the converter wrote.

    ``metainfo`` has ``classes`` and, once the index is read, its ``sample_rate`` and the ``fps``,
    ``size`` and ``rows`` of panoramas. A runner writes it into every checkpoint (``dataset_meta``),
    so that a trained model can be used where its data are not.

    Raises:
        MultiSSLError: If the index is missing, damaged or of another version, or if the split has
            no segment.
    """

    METAINFO: dict = dict(classes=CLASSES)

    def __init__(self, data_root: str, ann_file: str = 'index.json', split: Optional[str] = 'train',
                 splits: Optional[Dict[str, Tuple[int, int]]] = None,
                 sound_root: Optional[str] = None, every_pair: bool = False,
                 whole_scenes: bool = False, needs: Sequence[str] = (),
                 pipeline: Sequence[Union[dict, Any]] = (),
                 **kwargs: Any) -> None:
        self.splits = splits or dict(train=(1, 114), val=(115, 139), test=(140, 165))
        if split is not None and split not in self.splits:
            raise MultiSSLError(f"OmniAudioDataset.split is '{split}'; splits are "
                                f'{", ".join(self.splits)}')
        self.split, self.sound_root = split, sound_root
        self.every_pair, self.whole_scenes, self.needs = every_pair, whole_scenes, tuple(needs)
        super().__init__(ann_file=ann_file, data_root=data_root, pipeline=list(pipeline), **kwargs)

    def load_data_list(self) -> List[dict]:
        """One entry per segment, scene by scene."""
        index = read_index(self.ann_file)
        meta = index['metainfo']
        for key in RECORDED:
            if key in meta:
                self._metainfo.setdefault(key, meta[key])
        root = self.sound_root or osp.join(self.data_root, meta['source'])
        first, last = self.splits[self.split] if self.split else (0, 10**6)
        packed = self._packed()
        segments = []
        for scene in index['data_list']:
            if not first <= scene['scene'] <= last:
                continue
            if self.whole_scenes and len(scene['pairs']) < len(EAR_PAIRS):
                continue
            if not set(self.needs) <= set(scene.get('arrays', ())):
                continue
            shared = dict(
                scene=scene['scene'], duration=scene['duration'], fps=meta['fps'],
                frames=scene['frames'], sample_rate=meta['sample_rate'],
                tracks={k: packed.get(path, path) for k, v in scene['tracks'].items()
                        for path in [osp.join(root, v)]},
                video=packed.get(osp.join(root, scene['video']), osp.join(root, scene['video'])),
                arrays=osp.join(self.data_root, f'scene{scene["scene"]:04d}'))
            if packed:
                shared['packed'] = _files_in(shared['arrays'], packed)
            for start in scene['segments']:
                choices = [[pair] for pair in scene['pairs']] if self.every_pair else [
                    scene['pairs']]
                segments += [dict(shared, start=start, pairs=pairs) for pairs in choices]
        self._check_tracks(segments)
        if not segments:
            there = [scene['scene'] for scene in index['data_list']]
            raise MultiSSLError(
                f"{self.ann_file}: no segment in split '{self.split}' (scenes {first} to {last}"
                f'{", those with all ear pairs" if self.whole_scenes else ""}'
                f'{", those with " + " and ".join(self.needs) if self.needs else ""}); it has '
                f'scenes {min(there)} to {max(there)}; set OmniAudioDataset.splits')
        return segments

    def _packed(self) -> Dict[str, str]:
        """Where files are in tar files, if they are, by where they would be in a folder."""
        if not osp.isfile(osp.join(self.data_root, INDEX)):
            return {}
        return {osp.join(self.data_root, name): path
                for name, path in read_members(self.data_root).items()}

    def _check_tracks(self, segments: List[dict]) -> None:
        tracks = dict.fromkeys(path for s in segments for path in s['tracks'].values())
        check_there(list(tracks), 'recording', self.ann_file, 'restore it, or say with '
                    'OmniAudioDataset.sound_root where the recordings are',
                    lambda paths: absent([path for path in paths if not is_member(path)]))

    def scenes(self) -> List[int]:
        """The scene of every sample, for samplers that group them."""
        self.full_init()
        return [self.get_data_info(i)['scene'] for i in range(len(self))]

    def content_digest(self) -> str:
        """Of what the samples show, wherever the folders lie.

        That is what the converter was told and noted of every scene, and the sizes of the
        recordings as they are now; labels that were added since only where they are read.
        """
        self.full_init()
        labels = any('labels' in getattr(step, 'keys', ()) for step in self.pipeline.transforms)
        meta = dict(read_index(self.ann_file)['metainfo'], source=None)
        scenes, segments = {}, []
        for info in map(self.get_data_info, range(len(self))):
            segments.append((info['scene'], info['start'], info['pairs']))
            if info['scene'] not in scenes:
                noted = files_of_scene(info).get('scene.json')
                text = noted and get_text(noted)
                if text and not labels:
                    text = before_labelling(text)
                scenes[info['scene']] = (text,
                                         file_size(info['video']),
                                         {k: file_size(v) for k, v in info['tracks'].items()})
        return digest((meta, scenes, segments))


def before_labelling(note: str) -> str:
    """``scene.json`` as the converter wrote it, whether labels were added since or not."""
    noted = json.loads(note)
    if noted.pop('labelled_by', None) is None:
        return note
    noted['entry']['arrays'].remove('labels')
    return json.dumps(noted)


def unlabelled(root: str) -> Dict[str, Optional[str]]:
    """Of files that labelling has written, what was in them before; None where there was none.

    Args:
        root (str): Folder of the index, or of anything else.

    Returns:
        dict: By their paths in the folder; empty where the converter wrote all labels, or none.
    """
    path = osp.join(root, 'index.json')
    before: Dict[str, Optional[str]] = {}
    if not osp.isfile(path):
        return before
    try:
        with open(path, encoding='utf-8') as file:
            index = json.load(file)
        for entry in index['data_list']:
            folder = f'scene{entry["scene"]:04d}'
            with open(osp.join(root, folder, 'scene.json'), encoding='utf-8') as file:
                note = file.read()
            if (written := before_labelling(note)) != note:
                before[osp.join(folder, 'scene.json')] = written
                before[osp.join(folder, 'labels.npy')] = None
                entry['arrays'] = [name for name in entry['arrays'] if name != 'labels']
    except (OSError, ValueError, KeyError, TypeError):  # packed, or another's
        return {}
    if before:
        before['index.json'] = json.dumps(index)
    return before


def clip_frames(start: float, seconds: float, duration: float, fps: float) -> range:
    """Frames of a scene that a clip shows, from the one nearest to ``start``, as far as there are.

    Args:
        start, seconds (float): Of the clip.
        duration (float): Of the scene, in seconds.
        fps (float): Of frames.
    """
    last = int((duration - seconds) * fps)
    first = min(max(round(start * fps), 0), last)
    return range(first, first + round(seconds * fps))


def middle(frames: Any) -> Any:
    """The frame of a clip that stands for it: what is labelled of real scenes, and learned."""
    return frames[len(frames) // 2]


def files_of_scene(info: dict) -> Dict[str, str]:
    """What the converter wrote of a sample's scene: where its arrays and notes are, by their names.

    Args:
        info (dict): Of :class:`OmniAudioDataset`.
    """
    if 'packed' in info:
        return info['packed']
    folder = info['arrays']
    return {name: osp.join(folder, name) for name in sorted(os.listdir(folder))} \
        if osp.isdir(folder) else {}


def _files_in(folder: str, packed: Dict[str, str]) -> Dict[str, str]:
    start = osp.join(folder, '')
    return {path[len(start):]: member for path, member in packed.items() if path.startswith(start)}


def _check_entry(entry: dict, path: str) -> None:
    """Looks at what an index says of a scene: the names, and that numbers are such."""
    where = f'{path}, scene {entry["scene"]}'
    for name in (entry['video'], *entry['tracks'].values()):
        check_inside(name, where)
    names = [*entry['tracks'], *entry.get('arrays', ())]
    numbers = [entry['scene'], entry['duration'], entry['frames'], *entry['segments']]
    if not all(isinstance(n, (int, float)) and n >= 0 for n in numbers) or \
            not isinstance(entry['scene'], int) or not all(isinstance(n, str) for n in names):
        raise ValueError(f'scene {entry["scene"]} has something else where a number or a name '
                         'must be')
    for pair in entry['pairs']:
        lacking = [track for track in EAR_PAIRS[pair] if str(track) not in entry['tracks']]
        if lacking:
            raise ValueError(f'scene {entry["scene"]} has the pair {pair}, but no track {lacking}')


def _check_meta(meta: dict) -> None:
    if not isinstance(meta['source'], str) or not meta['fps'] > 0 or not meta['sample_rate'] > 0:
        raise ValueError('source, fps and sample_rate of metainfo')


def read_index(path: str) -> dict:
    """The index that the converter wrote.

    Raises:
        MultiSSLError: If it cannot be used; says what to do.
    """
    if not osp.isfile(path):
        raise MultiSSLError(f'{path}: no such index; write it with {CONVERTER}')
    try:
        with open(path, encoding='utf-8-sig') as file:
            index = json.load(file)
        version = index['metainfo']['version']
        scenes = index['data_list']
        if version == VERSION:
            for entry in list(scenes):
                _check_entry(entry, path)
            _check_meta(index['metainfo'])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise MultiSSLError(f'{path} is damaged ({type(error).__name__}: {error}); run {CONVERTER} '
                            'again, finished scenes are kept') from error
    if version != VERSION:
        raise MultiSSLError(f'{path} is of version {version}, this code reads {VERSION}; run '
                            f'{CONVERTER} again')
    if not scenes:
        raise MultiSSLError(f'{path} has no scene; run {CONVERTER} again and read what it reports')
    return index
