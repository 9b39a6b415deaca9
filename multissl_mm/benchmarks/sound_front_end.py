"""Clips per second, with the STFT on the model's device or in the loader's workers."""
import json
import statistics
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.config import Config, ConfigDict
from mmengine.dataset import default_collate
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DefaultScope
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from ..datasets import KeyedDataset, OmniAudioDataset, ViewKey
from ..datasets.omniaudio import VERSION
from ..errors import MultiSSLError
from ..models import SoundPreprocessor
from ..registry import MODELS
from ..runtime import load_config
from ..utils.files import write_atomically
from ..utils.names import bare
from ..utils.sounds import write_sound
from .timing import interleaved, quiet, ratio

DEVICE, WORKER, NONE = 'in the preprocessor', 'in the worker', 'nowhere'
SCENES, SECONDS = 4, 60.


class Loading(NamedTuple):
    """How batches are loaded.

    Args:
        workers (int): Processes.
        batch_size (int): Samples.
        batches (int): Of a round.
        device (str): Of the spectrograms.
    """
    workers: int = 2
    batch_size: int = 24
    batches: int = 10
    device: str = 'cpu'


def measure_front_end(config: str, data_root: Optional[str] = None, rate: int = 48000,
                      options: Loading = Loading(), rounds: int = 5,  # noqa: B008  (immutable)
                      out: Optional[Path] = None, console: Optional[Console] = None
                      ) -> Dict[str, List[float]]:
    """Measures three ways from WAV files to what the encoder sees.

    They share the sound part of a config's pipeline and its data_preprocessor: waveforms out of
    the worker and spectrograms from SoundPreprocessor (this project's way), spectrograms out of
    the worker, and waveforms alone, for what reading costs. Each round loads the same samples in
    all three ways in turn.

    Args:
        config (str): Of ``configs/sound``.
        data_root (str, optional): What the converter wrote. Defaults to recordings of noise.
        rate (int): Of the noise, in Hz.
        options (Loading): Workers, batches and device.
        rounds (int): That count.
        out (Path, optional): JSON file for the results.
        console (Console, optional): Where the table is printed.

    Returns:
        dict: Of every way, clips per second in each round.
    """
    cfg = load_config(config)
    quiet()
    with tempfile.TemporaryDirectory() as folder, \
            DefaultScope.overwrite_default_scope('multissl_mm'):
        if data_root is None:
            write_noise(Path(folder), rate)
        runs, sounds = ways(cfg, options, data_root or folder)
        seconds = interleaved(runs, rounds)
    speed = {name: [sounds / s for s in values] for name, values in seconds.items()}
    table = Table('STFT', 'clips/s', 'of that in the worker', title=(
        f'{config}, {options.workers} workers, batches of {options.batch_size}, {options.device}; '
        f'median of {rounds}'))
    for name, values in speed.items():
        table.add_row(name, f'{statistics.median(values):.0f}',
                      f'{ratio(values, speed[WORKER]):.2f}')
    (console or Console()).print(table)
    if out:
        write_atomically(out, json.dumps(dict(config=config, clips_per_second=speed)))
    return speed


class SpectrogramsInWorker(BaseTransform):
    """What :class:`SoundPreprocessor` does to a batch, sample by sample."""

    def __init__(self, preprocessor: SoundPreprocessor) -> None:
        self.preprocessor = preprocessor

    def transform(self, results: dict) -> dict:
        for key in results['sounds']:
            results[key] = self.preprocessor.log_power(results[key][None])[0]
        return results


def write_noise(root: Path, rate: int) -> None:
    """Recordings of noise, and the index that the converter would write of them."""
    rng, scenes = np.random.default_rng(0), []
    for scene in range(1, SCENES + 1):
        folder = root / f'scene{scene:04d}'
        tracks = {str(k): f'{folder.name}/noise_Tr{k}.WAV' for k in range(1, 9)}
        for path in tracks.values():
            noise = rng.normal(0, .1, int(SECONDS * rate)).astype(np.float32)
            write_sound(root / path, noise, rate)
        scenes.append(dict(scene=scene, duration=SECONDS, frames=int(4 * SECONDS), tracks=tracks,
                           video='VIDEO_0001_cropped.mp4', pairs=[0, 1, 2, 3], arrays=[],
                           segments=np.arange(0., SECONDS - 2, 2).tolist()))
    meta = dict(dataset='OmniAudio', version=VERSION, source='.', sample_rate=rate, fps=4.)
    write_atomically(root / 'index.json', json.dumps(dict(metainfo=meta, data_list=scenes)))


def sound_pipeline(cfg: Config, preprocessor: SoundPreprocessor) -> Tuple[List[ConfigDict], dict]:
    """What of the training pipeline reads sound, and how that is packed."""
    steps = cfg.train_dataloader.dataset.dataset.pipeline
    load = [step for step in steps if bare(step.type) in ('LoadClip', 'LoadOtherSlice')]
    pack = next((step for step in steps if step.type.endswith('PackSound')), dict(keys=()))
    keys = [key for key in pack['keys'] if key in preprocessor.sounds]
    if not load or not keys:
        raise MultiSSLError('train_dataloader.dataset.dataset.pipeline neither loads nor packs a '
                            'sound; name a config of configs/sound')
    return load, dict(type='multissl_mm.PackSound', keys=keys)


def ways(cfg: Config, options: Loading, root: str) -> Tuple[Dict[str, Callable[[], None]], int]:
    """By name a function that loads all batches of a round; and how many sounds these have."""
    preprocessor = MODELS.build(cfg.data_preprocessor)
    if not isinstance(preprocessor, SoundPreprocessor):
        raise MultiSSLError(f'data_preprocessor is a {type(preprocessor).__name__}, not a '
                            'multissl_mm.SoundPreprocessor; name a config of configs/sound')
    load, pack = sound_pipeline(cfg, preprocessor)
    on_device = MODELS.build(cfg.data_preprocessor).to(options.device)
    as_it_is = BaseDataPreprocessor().to(options.device)
    return {
        DEVICE: loading([*load, pack], on_device, options, root),
        WORKER: loading([*load, SpectrogramsInWorker(preprocessor), pack], as_it_is, options, root),
        NONE: loading([*load, pack], as_it_is, options, root)
    }, options.batches * options.batch_size * len(pack['keys'])


def loading(pipeline: list, preprocessor: BaseDataPreprocessor, options: Loading,
            root: str) -> Callable[[], None]:
    """Something to time: batches that go through a pipeline and a preprocessor."""
    dataset = KeyedDataset(OmniAudioDataset(data_root=root, split=None, pipeline=pipeline))
    keys = [ViewKey(0, i // len(dataset), i % len(dataset))
            for i in range(options.batches * options.batch_size)]
    # Workers stay, but fetch nothing while it is another way's turn.
    loader = DataLoader(dataset, options.batch_size, sampler=keys, num_workers=options.workers,
                        collate_fn=default_collate, persistent_workers=options.workers > 0,
                        pin_memory=options.device == 'cuda')

    def run() -> None:
        for batch in loader:
            preprocessor(batch, True)

    return run
