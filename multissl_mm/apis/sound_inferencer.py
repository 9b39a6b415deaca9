"""A binaural recording in; representations, a map, other directions or retrieved videos out."""
import json
import os.path as osp
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import soundfile
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.infer import BaseInferencer
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets import KeyedDataset, ViewKey
from ..datasets.omniaudio import read_index
from ..errors import MultiSSLError
from ..evaluation.sound_metrics import CLASSES
from ..models.downstream import (
    DIRECTIONS,
    SemanticPrediction,
    SpatialSuperResolution,
    VideoRetrieval,
)
from ..registry import MODELS
from ..runtime import dicts, use_pretrained
from ..utils.checkpoint import compare, load_state_dict_file, some
from ..utils.files import write_atomically
from ..utils.model import pooled
from .panorama_pictures import draw_map, read_panorama

Prediction = Dict[str, Any]


class SoundInferencer(BaseInferencer):
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
        model (str | Config): Config that the model was trained with: that in its work directory.
        weights (str): Checkpoint of it.
        device (str, optional): Defaults to what there is.
        sample_rate (int, optional): Of what the model heard in training, in Hz; other recordings
            are resampled. Defaults to that of the config's data, if they are there.
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

    def __init__(self, model: Union[str, Config], weights: str, device: Optional[str] = None,
                 sample_rate: Optional[int] = None, seconds: float = 2.,
                 show_progress: bool = False) -> None:
        if isinstance(model, str) and not osp.isfile(model):
            raise MultiSSLError(f'{model}: no such config')
        self.seconds = seconds
        super().__init__(model, weights, device, scope='multissl_mm', show_progress=show_progress)
        self.sample_rate = sample_rate or self._trained_rate()

    # ------------------------------------------------------------------ setting up

    def _init_model(self, cfg: Config, weights: Optional[str], device: str = 'cpu') -> nn.Module:
        init_default_scope('multissl_mm')
        if not isinstance(cfg, Config):
            cfg = Config(cfg)
        use_pretrained(cfg, load=False)  # all weights are in the checkpoint
        if not cfg.model.get('type'):
            raise MultiSSLError(f'{cfg.filename or "the config"} has only a backbone '
                                '(concatenation?); give the config in the work directory of a '
                                'downstream task')
        for module in dicts(cfg.model):
            module.pop('init_cfg', None)
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.model.get(
            'data_preprocessor', cfg.get('data_preprocessor'))))
        state_dict = load_state_dict_file(weights)
        difference = compare(model.state_dict(), state_dict)
        if difference.lacks:
            raise MultiSSLError(f'{weights} does not fill the {type(model).__name__} of the '
                                f'config; it lacks {some(difference.lacks)}. Give the config that '
                                'it was trained with: the one in its work directory')
        model.load_state_dict(state_dict, strict=False)
        return model.to(device).eval()

    def _init_pipeline(self, cfg: Config) -> None:
        """Nothing: recordings do not come from a dataset."""

    def _init_collate(self, cfg: Config) -> Any:
        return default_collate

    def _init_visualizer(self, cfg: Config) -> None:
        """Nothing: pictures are drawn by :func:`draw_map`."""

    @property
    def _dataset_cfg(self) -> dict:
        for split in ('test', 'val', 'train'):
            dataset = (self.cfg.get(f'{split}_dataloader') or {}).get('dataset')
            if dataset:
                return dict(dataset.get('dataset', dataset))
        return {}

    @cached_property
    def _meta(self) -> Optional[dict]:
        """What the index of the config's data says of them, if they are there."""
        dataset = self._dataset_cfg
        path = osp.join(dataset.get('data_root', ''), dataset.get('ann_file', 'index.json'))
        return read_index(path)['metainfo'] if osp.isfile(path) else None

    def _trained_rate(self) -> int:
        for step in self._dataset_cfg.get('pipeline', []):
            if step.get('sample_rate'):
                return step['sample_rate']
        meta = self._meta
        if meta is None:
            raise MultiSSLError('the rate of the sounds that the model was trained with is not '
                                'known, since the data of its config are not there; give '
                                'sample_rate, in Hz (48000 for OmniAudio)')
        return meta['sample_rate']

    # ------------------------------------------------------------------ one recording

    def preprocess(self, inputs: Sequence[str], batch_size: int = 1, **kwargs: Any
                   ) -> Iterator[List[dict]]:
        """Pieces of the recordings, ``batch_size`` at a time."""
        names = [Path(path).stem for path in inputs]
        if len(set(names)) < len(names):
            raise MultiSSLError('two recordings have the same name, by which what is written is '
                                f'named: {", ".join(sorted(inputs))}; take them one by one')
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
            size = self._meta['size'] if self._meta else None
            found['scores'] = model.logits(data, size, features).softmax(1)
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

    def visualize(self, inputs: list, preds: List[Prediction], panorama: Optional[str] = None,
                  out_dir: Optional[str] = None, rows: Optional[Sequence[float]] = None,
                  **kwargs: Any) -> List[str]:
        """Writes pictures of maps, and sounds; returns their files.

        Args:
            panorama (str, optional): Picture or video, equirectangular, of the same place and time.
            out_dir (str, optional): Where to; by default nothing is written.
            rows (sequence[float], optional): Which part of the panorama's height the map covers.
                Defaults to that of the config's data, if they are there, else all of it.
        """
        if out_dir is None:
            return []
        if panorama is not None and len(inputs) > 1:
            raise MultiSSLError(f'{panorama} is one panorama, but there are {len(inputs)} '
                                'recordings; take them one by one')
        rows = rows or (self._meta or {}).get('rows') or (0., 1.)
        files = []
        for pred in preds if preds and 'scores' in preds[0] else []:
            frame = None if panorama is None else read_panorama(
                panorama, pred['start'] + self.seconds / 2)
            path = Path(out_dir) / f'{Path(pred["file"]).stem}_{pred["start"]:07.2f}s.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_map(pred['scores'].numpy(), path, frame, rows, classes=CLASSES,
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
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, sound.t().numpy(), self.sample_rate, subtype='FLOAT')
                files.append(str(path))
        return files

    def postprocess(self, preds: List[Prediction], visualization: List[str],
                    return_datasamples: bool = False, **kwargs: Any) -> dict:
        """``predictions``, one dict per piece of sound, and the files of ``visualization``."""
        return dict(predictions=preds, visualization=visualization)


def write_predictions(predictions: Sequence[Prediction], out_dir: Union[str, Path]) -> None:
    """Writes ``predictions.json``, and the tensors, but for sounds, into a ``.npz`` beside it."""
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    tensors = [k for k, v in predictions[0].items() if isinstance(v, Tensor)]
    keys = [k for k in tensors if k != 'turned']  # is in the WAV files
    part = out_dir / '.predictions.npz'
    np.savez(part, **{k: torch.stack([p[k] for p in predictions]).numpy() for k in keys})
    part.replace(out_dir / 'predictions.npz')
    write_atomically(out_dir / 'predictions.json', json.dumps([
        {k: v for k, v in p.items() if k not in tensors} for p in predictions], indent=2))
