"""Clips per second, with the STFT on the model's device or in the loader's workers.

    python tools/benchmarks/sound_front_end.py configs/sound/c.py
    python tools/benchmarks/sound_front_end.py configs/sound/c.py --data-root data/omniaudio

Three ways from WAV files to what the encoder sees, with the sound part of a config's pipeline and
its data_preprocessor: waveforms out of the worker and spectrograms from SoundPreprocessor (this
project's way), spectrograms out of the worker, and waveforms alone, for what reading costs. Each
round loads the same samples in all three ways in turn, so that a machine whose speed drifts slows
all of them; the ratio is the median of those within a round. Without --data-root, recordings of
noise are written to a temporary folder.
"""
import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import soundfile
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config, ConfigDict
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader

import multissl_mm  # noqa: F401
from multissl_mm.datasets import KeyedDataset, OmniAudioDataset, ViewKey
from multissl_mm.datasets.omniaudio import VERSION
from multissl_mm.errors import MultiSSLError
from multissl_mm.models import SoundPreprocessor
from multissl_mm.registry import MODELS
from multissl_mm.runtime import load_config
from multissl_mm.utils.cli import run_tool

DEVICE, WORKER, NONE = 'in the preprocessor', 'in the worker', 'nowhere'
SCENES, SECONDS = 4, 60.


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
        folder.mkdir()
        tracks = {str(k): f'{folder.name}/noise_Tr{k}.WAV' for k in range(1, 9)}
        for path in tracks.values():
            noise = rng.normal(0, .1, int(SECONDS * rate)).astype(np.float32)
            soundfile.write(root / path, noise, rate, subtype='PCM_16')
        scenes.append(dict(scene=scene, duration=SECONDS, frames=int(4 * SECONDS), tracks=tracks,
                           video='', pairs=[0, 1, 2, 3], arrays=[],
                           segments=np.arange(0., SECONDS - 2, 2).tolist()))
    meta = dict(dataset='OmniAudio', version=VERSION, source='.', sample_rate=rate, fps=4.)
    (root / 'index.json').write_text(json.dumps(dict(metainfo=meta, data_list=scenes)))


def sound_pipeline(cfg: Config, preprocessor: SoundPreprocessor) -> Tuple[List[ConfigDict], dict]:
    """What of the training pipeline reads sound, and how that is packed."""
    steps = cfg.train_dataloader.dataset.dataset.pipeline
    load = [step for step in steps if step.type.split('.')[-1] in ('LoadClip', 'LoadOtherSlice')]
    pack = next((step for step in steps if step.type.endswith('PackSound')), dict(keys=()))
    keys = [key for key in pack['keys'] if key in preprocessor.sounds]
    if not load or not keys:
        raise MultiSSLError('train_dataloader.dataset.dataset.pipeline neither loads nor packs a '
                            'sound; name a config of configs/sound')
    return load, dict(type='multissl_mm.PackSound', keys=keys)


def ways(cfg: Config, args: argparse.Namespace, root: str) -> Dict[str, Callable[[], int]]:
    """By name a function that loads all batches of a round and says how many sounds they had."""
    preprocessor = MODELS.build(cfg.data_preprocessor)
    if not isinstance(preprocessor, SoundPreprocessor):
        raise MultiSSLError(f'data_preprocessor is a {type(preprocessor).__name__}, not a '
                            'multissl_mm.SoundPreprocessor; name a config of configs/sound')
    load, pack = sound_pipeline(cfg, preprocessor)
    on_device = MODELS.build(cfg.data_preprocessor).to(args.device)
    as_it_is = BaseDataPreprocessor().to(args.device)
    return {
        DEVICE: loading([*load, pack], on_device, args, root),
        WORKER: loading([*load, SpectrogramsInWorker(preprocessor), pack], as_it_is, args, root),
        NONE: loading([*load, pack], as_it_is, args, root)
    }


def loading(pipeline: list, preprocessor: BaseDataPreprocessor, args: argparse.Namespace,
            root: str) -> Callable[[], int]:
    dataset = KeyedDataset(OmniAudioDataset(data_root=root, split=None, pipeline=pipeline))
    keys = [ViewKey(0, i // len(dataset), i % len(dataset))
            for i in range(args.batches * args.batch_size)]
    # Workers stay, but fetch nothing while it is another way's turn.
    loader = DataLoader(dataset, args.batch_size, sampler=keys, num_workers=args.workers,
                        collate_fn=default_collate, persistent_workers=args.workers > 0,
                        pin_memory=args.device == 'cuda')

    def run() -> int:
        sounds = 0
        for batch in loader:
            inputs = preprocessor(batch, True)['inputs']
            sounds += sum(len(sound) for sound in inputs.values())
        if args.device == 'cuda':
            torch.cuda.synchronize()
        return sounds

    return run


def measure(runs: Dict[str, Callable[[], int]], rounds: int) -> Dict[str, List[float]]:
    """Sounds per second of each way in each round."""
    speed: Dict[str, List[float]] = {name: [] for name in runs}
    for i in track(range(rounds + 1), 'interleaved rounds', console=Console(stderr=True)):
        for name, run in runs.items():
            start = time.perf_counter()
            sounds = run()
            if i:  # the first round starts workers and warms up
                speed[name].append(sounds / (time.perf_counter() - start))
    return speed


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--data-root', help='what the converter wrote (default: noise)')
    parser.add_argument('--rate', type=int, default=48000, help='of the noise, in Hz '
                        '(default: %(default)s)')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--batch-size', type=int, default=24)
    parser.add_argument('--batches', type=int, default=10, help='of a round')
    parser.add_argument('--rounds', type=int, default=5, help='that count')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args(argv)
    args.device = get_device() if args.device == 'auto' else args.device
    cfg = load_config(args.config)
    MMLogger.get_instance('sound_front_end', log_level='ERROR')
    init_default_scope('multissl_mm')

    with tempfile.TemporaryDirectory() as folder:
        if args.data_root is None:
            write_noise(Path(folder), args.rate)
        speed = measure(ways(cfg, args, args.data_root or folder), args.rounds)
    table = Table('STFT', 'clips/s', 'of that in the worker', title=(
        f'{args.config}, {args.workers} workers, batches of {args.batch_size}, {args.device}; '
        f'median of {args.rounds}'))
    for name, values in speed.items():
        ratio = statistics.median(a / b for a, b in zip(values, speed[WORKER]))
        table.add_row(name, f'{statistics.median(values):.0f}', f'{ratio:.2f}')
    Console().print(table)
    if args.out:
        args.out.write_text(json.dumps(dict(config=args.config, clips_per_second=speed)))


if __name__ == '__main__':
    run_tool(main)
