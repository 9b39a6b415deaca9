"""A binaural recording in; representations, a map, other directions or retrieved videos out."""
import os.path as osp
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import soundfile
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets import CLASSES, KeyedDataset, ViewKey
from ..datasets.omniaudio import read_index
from ..errors import MultiSSLError
from ..models.downstream import (
    DIRECTIONS,
    SemanticPrediction,
    SpatialSuperResolution,
    VideoRetrieval,
)
from ..utils.files import AnyPath
from ..utils.model import pooled
from ..utils.sounds import write_sound
from .files import FileInferencer, Prediction
from .loading import load_model
from .panorama_pictures import draw_map, read_panorama


class SoundInferencer(FileInferencer):
    """Uses a sound model of this project, whichever it is.

    - any: ``representation`` (C,), the encoder's features, averaged;
    - :class:`SemanticPrediction`: ``scores`` (1 + K, H, W), probabilities with nothing first, and
      ``semantics`` (H, W), the labels; with a panorama a picture of it with the map on it;
    - :class:`SpatialSuperResolution`: ``turned`` (3, 2, S), what the head would hear if it turned
      by 90, 180 and 270 degrees to the right; written as WAV;
    - :class:`VideoRetrieval`: ``retrieved``, the segments of the config's test set whose video
      fits best: scene, start in seconds, similarity.

    Recordings are read in pieces of ``seconds``, one prediction each; what is left at the end is
    not looked at.

    Args:
        config (str | Path | Config): That the model was trained with: that in its work directory.
        checkpoint (str | Path): Its weights; says also what its data were, see :attr:`data_meta`.
        device (str, optional): Defaults to what there is.
        sample_rate (int, optional): Of what the model heard in training, in Hz; other recordings
            are resampled. Defaults to that of :attr:`data_meta`.
        seconds (float): Length of a piece. Defaults to 2.
        show_progress (bool): Defaults to False.

    Raises:
        MultiSSLError: If the weights do not fill the model, or the rate is not known.

    Example::

        infer = SoundInferencer('work_dirs/sp_b/sp.py', 'work_dirs/sp_b/epoch_30.pth')
        result = infer('street.wav', panorama='street.mp4', out_dir='outputs')
        result['predictions'][0]['semantics']  # of the first two seconds
        result['visualization']                # files of the pictures
    """

    preprocess_kwargs: set = set()
    forward_kwargs: set = {'top'}
    visualize_kwargs: set = {'panorama', 'out_dir', 'rows'}
    postprocess_kwargs: set = set()

    def __init__(self, config: Union[AnyPath, Config], checkpoint: AnyPath,
                 device: Optional[str] = None, sample_rate: Optional[int] = None,
                 seconds: float = 2., show_progress: bool = False) -> None:
        super().__init__(config, checkpoint, device, show_progress)
        self.seconds = seconds
        self.sample_rate = sample_rate or self._trained_rate()

    # ------------------------------------------------------------------ what is known of the model

    def _init_model(self, cfg: Config, weights: str, device: str = 'cpu') -> nn.Module:
        return load_model(cfg, weights, device)

    @property
    def _dataset_cfg(self) -> dict:
        for split in ('test', 'val', 'train'):
            dataset = (self.cfg.get(f'{split}_dataloader') or {}).get('dataset')
            if dataset:
                return dict(dataset.get('dataset', dataset))
        return {}

    @cached_property
    def data_meta(self) -> Dict[str, Any]:
        """What is known of the data that the model was trained on.

        ``classes``, ``sample_rate``, ``size`` and ``rows`` of panoramas are written in its
        checkpoint. Older ones have only the first; then the others are those of the config's data,
        if they are there.
        """
        meta = dict(self.model.dataset_meta)
        dataset = self._dataset_cfg
        path = osp.join(dataset.get('data_root', ''), dataset.get('ann_file', 'index.json'))
        if 'size' not in meta and osp.isfile(path):
            meta = {**read_index(path)['metainfo'], **meta}
        return meta

    def _trained_rate(self) -> int:
        for step in self._dataset_cfg.get('pipeline', []):
            if step.get('sample_rate'):
                return step['sample_rate']
        if 'sample_rate' not in self.data_meta:
            raise MultiSSLError('the rate of the sounds that the model was trained with is not '
                                'known: its checkpoint is too old to say it, and the data of its '
                                'config are not there; give sample_rate, in Hz (48000 for '
                                'OmniAudio)')
        return self.data_meta['sample_rate']

    # ------------------------------------------------------------------ one recording

    def preprocess(self, inputs: Sequence[str], batch_size: int = 1, **kwargs: Any
                   ) -> Iterator[List[dict]]:
        """Pieces of the recordings, ``batch_size`` at a time."""
        pieces: List[dict] = []
        for path in inputs:
            for start, clip in self.pieces(path):
                pieces.append(dict(file=path, start=start, clip=clip))
                if len(pieces) == batch_size:
                    yield pieces
                    pieces = []
        if pieces:
            yield pieces

    def pieces(self, path: str) -> Iterator[Tuple[float, Tensor]]:
        """Start in seconds and sound (2, S), float32, of each piece of a binaural recording."""
        from torchaudio.functional import resample
        try:
            with soundfile.SoundFile(path) as file:
                rate, length = file.samplerate, int(round(self.seconds * file.samplerate))
                if file.channels != 2:
                    raise MultiSSLError(f'{path} has {file.channels} channels; it needs two, the '
                                        'left and the right ear')
                if file.frames < length:
                    raise MultiSSLError(f'{path} lasts {file.frames / rate:.2f} s; it needs '
                                        f'{self.seconds:g} s at least')
                for number in range(file.frames // length):
                    sound = file.read(length, dtype='float32', always_2d=True).T
                    if sound.shape[1] < length:
                        raise MultiSSLError(f'{path} ends before its header says; it was cut off')
                    if not np.isfinite(sound).all():
                        raise MultiSSLError(f'{path} has samples that are not finite between '
                                            f'{number * self.seconds:g} and '
                                            f'{(number + 1) * self.seconds:g} s')
                    clip = torch.from_numpy(np.ascontiguousarray(sound))
                    if rate != self.sample_rate:
                        clip = resample(clip, rate, self.sample_rate)
                        clip = clip[:, :int(round(self.seconds * self.sample_rate))]
                    yield number * self.seconds, clip
        except (soundfile.LibsndfileError, OSError) as error:
            raise MultiSSLError(f'{path} cannot be read ({error})') from error

    @torch.no_grad()
    def forward(self, inputs: List[dict], top: int = 5, **kwargs: Any) -> List[Prediction]:
        """Predictions for a few pieces.

        Args:
            top (int): How many segments are retrieved.
        """
        model = self.model
        clips = torch.stack([piece['clip'] for piece in inputs])
        data = model.data_preprocessor(dict(inputs=dict(clip=clips)), False)['inputs']
        features = model.extract_feat(data['clip'])
        found: Dict[str, Any] = dict(representation=pooled(features).float())
        if isinstance(model, SemanticPrediction):
            found['scores'] = model.logits(data, self.data_meta.get('size'), features).softmax(1)
            found['semantics'] = found['scores'].argmax(1)
        elif isinstance(model, SpatialSuperResolution):
            found['turned'] = model.data_preprocessor.waves(
                model.turned(data, features), data['scale'], clips.size(-1))
        elif isinstance(model, VideoRetrieval):
            found['retrieved'] = self._retrieve(model.embed_sound(features), top)
        return [dict(file=piece['file'], start=piece['start'],
                     **{k: v[i].cpu() if isinstance(v, Tensor) else v[i] for k, v in found.items()})
                for i, piece in enumerate(inputs)]

    # ------------------------------------------------------------------ retrieval

    def _retrieve(self, sounds: Tensor, top: int) -> List[List[dict]]:
        gallery = self.gallery
        similar = sounds.cpu() @ gallery['video'].t()
        order = similar.argsort(1, descending=True)[:, :top].tolist()
        return [[dict(scene=gallery['scene'][j], start=gallery['start'][j],
                      similarity=round(similar[i, j].item(), 4)) for j in row]
                for i, row in enumerate(order)]

    @cached_property
    def gallery(self) -> Dict[str, Any]:
        """Embeddings of the videos of the config's test set, made when they are first needed."""
        dataset = KeyedDataset(self._dataset_cfg)
        dataset.full_init()
        loader = DataLoader(dataset, 32, collate_fn=default_collate,
                            sampler=[ViewKey(0, 0, i) for i in range(len(dataset))])
        device = next(self.model.parameters()).device
        video, scene, start = [], [], []
        for batch in loader:
            view = batch['inputs'][self.model.view].to(device)
            with torch.no_grad():
                video.append(self.model.embed_video(view).cpu())
            scene += [sample.scene for sample in batch['data_samples']]
            start += [float(sample.start) for sample in batch['data_samples']]
        return dict(video=torch.cat(video), scene=scene, start=start)

    # ------------------------------------------------------------------ what is written

    def visualize(self, inputs: list, preds: List[Prediction], panorama: Optional[AnyPath] = None,
                  out_dir: Optional[AnyPath] = None, rows: Optional[Sequence[float]] = None,
                  **kwargs: Any) -> List[str]:
        """Writes pictures of maps, and sounds; returns their files.

        Args:
            panorama (str | Path, optional): Picture or video, equirectangular, of the same
                place and time.
            out_dir (str, optional): Where to; by default nothing is written.
            rows (sequence[float], optional): Which part of the panorama's height the map covers.
                Defaults to that of the model's data, if it is known, else all of it.
        """
        if out_dir is None:
            return []
        if panorama is not None and len(inputs) > 1:
            raise MultiSSLError(f'{panorama} is one panorama, but there are {len(inputs)} '
                                'recordings; take them one by one')
        rows = rows or self.data_meta.get('rows') or (0., 1.)
        files = []
        for pred in preds if preds and 'scores' in preds[0] else []:
            frame = None if panorama is None else read_panorama(
                panorama, pred['start'] + self.seconds / 2)
            path = Path(out_dir) / f'{Path(pred["file"]).stem}_{pred["start"]:07.2f}s.png'
            draw_map(pred['scores'].numpy(), path, frame, rows, classes=self.classes,
                     title=f'{Path(pred["file"]).name}, {pred["start"]:g} to '
                           f'{pred["start"] + self.seconds:g} s')
            files.append(str(path))
        if preds and 'turned' in preds[0]:
            files += self._write_sounds(preds, Path(out_dir))
        return files

    def _write_sounds(self, preds: List[Prediction], out_dir: Path) -> List[str]:
        files = []
        for file in dict.fromkeys(pred['file'] for pred in preds):
            turned = torch.cat([p['turned'] for p in preds if p['file'] == file], -1)
            for degrees, sound in zip(DIRECTIONS, turned):
                path = out_dir / f'{Path(file).stem}_turned{degrees}.wav'
                write_sound(path, sound.t().numpy(), self.sample_rate, 'FLOAT')
                files.append(str(path))
        return files

    # ------------------------------------------------------------------ in words

    @property
    def classes(self) -> Sequence[str]:
        """Names of the labels of a map, from 1."""
        return self.data_meta.get('classes', CLASSES)

    def in_words(self, pred: Prediction) -> str:
        """What was predicted, in a line."""
        if 'retrieved' in pred:
            return ', '.join(f'scene {r["scene"]} at {r["start"]:g} s ({r["similarity"]:.2f})'
                             for r in pred['retrieved'])
        if 'semantics' in pred:
            return directions_in_words(pred['semantics'].numpy(), self.classes) or 'nothing'
        if 'turned' in pred:
            return 'three directions, see the WAV files'
        return f'representation of {len(pred["representation"])} values'


def directions_in_words(labels: np.ndarray, classes: Sequence[str]) -> str:
    """Where on a map (H, W) each class is, e.g. ``bus 30° to the left``; empty if none is."""
    found = []
    for k, name in enumerate(classes, 1):
        columns = np.flatnonzero((labels == k).any(0))
        if len(columns):
            # Azimuths go from 180 degrees on the left edge to -180; their mean on the circle.
            angle = np.deg2rad(180 - 360 * (columns + .5) / labels.shape[1])
            mean = np.rad2deg(np.angle(np.exp(1j * angle).mean()))
            found.append(f'{name} {abs(mean):.0f}° to the {"left" if mean > 0 else "right"}')
    return ', '.join(found)
