"""CPU time per picture of MMPretrain's pipeline, and of the one whose views a device finishes."""
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from PIL import Image
from rich.console import Console
from rich.table import Table

from ..errors import MultiSSLError
from ..registry import MODELS
from ..runtime import load_config
from ..utils.files import atomic_path, write_atomically
from ..utils.keyed_random import keyed_randomness
from ..utils.names import bare
from .timing import interleaved, quiet, ratio

THEIRS, SHIPPED = 'MMPretrain', 'MMPretrain, decoded by OpenCV'
WORKER, ALL = 'batched views, without the device', 'batched views, on the CPU'
BATCH = 32


def measure_loader(config: str, paths: Sequence[str] = (), count: int = 64, rounds: int = 7,
                   out: Optional[Path] = None, console: Optional[Console] = None
                   ) -> Dict[str, List[float]]:
    """Measures how long a CPU works for the views of a picture, in this process.

    The same views of the same pictures, way by way in every round: by MMPretrain's own pipeline
    with the pictures decoded by Pillow (as in this project) or by OpenCV (as shipped), and by
    ``CropViews``, alone, which is all that is left to a CPU where a GPU finishes the views, and
    with ``ViewPreprocessor`` on the CPU.

    Args:
        config (str): With ``CropViews`` in its pipeline.
        paths (sequence[str]): Pictures. Defaults to ``count`` JPEGs of 500 x 375 that look a bit
            like photographs.
        rounds (int): That count.
        out (Path, optional): JSON file for the results.
        console (Console, optional): Where the table is printed.

    Returns:
        dict: Of every way, milliseconds per picture in each round.
    """
    cfg = load_config(config)
    quiet()
    with tempfile.TemporaryDirectory() as folder, \
            DefaultScope.overwrite_default_scope('mmpretrain'):
        paths = paths or write_pictures(Path(folder), count)
        seconds = interleaved(ways(cfg, paths), rounds, time.process_time)
    spent = {name: [1000 * s / len(paths) for s in values] for name, values in seconds.items()}
    table = Table('views by', 'ms of CPU', f'of {THEIRS}', 'of OpenCV\'s', title=(
        f'{config}, {len(paths)} pictures, median of {rounds}'))
    for name, values in spent.items():
        table.add_row(name, f'{statistics.median(values):.2f}',
                      f'{ratio(values, spent[THEIRS]):.2f}', f'{ratio(values, spent[SHIPPED]):.2f}')
    (console or Console()).print(table)
    if out:
        write_atomically(out, json.dumps(dict(config=config, milliseconds=spent)))
    return spent


def write_pictures(root: Path, count: int) -> List[str]:
    """JPEGs of 500 x 375, about 100 KB each, with as much detail at every scale."""
    rng, paths = np.random.default_rng(0), []
    for i in range(count):
        pixels = np.full((375, 500, 3), 128.)
        for cells in (2, 4, 8, 16, 32, 64, 128, 500):
            noise = rng.integers(0, 256, (3 * cells // 4, cells, 3), dtype=np.uint8)
            layer = Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)
            pixels += (np.asarray(layer) - 127.5) * min(1, 10 / cells)
        paths.append(str(root / f'{i}.jpg'))
        with atomic_path(paths[-1], durable=False) as part:
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(part, 'JPEG', quality=90)
    return paths


def ways(cfg: Config, paths: Sequence[str]) -> Dict[str, Callable[[], None]]:
    """By name a function that makes all views once."""
    steps = pipeline(cfg)
    crops = next(step for step in steps if is_crops(step))
    preprocessor = MODELS.build(cfg.data_preprocessor)
    views = dict(type='MultiView', num_views=crops.num_views, transforms=crops.transforms)

    def theirs(backend: str) -> Callable[[], None]:
        return making([dict(type='LoadImageFromFile', imdecode_backend=backend), views,
                       dict(type='PackInputs')], paths)

    return {THEIRS: theirs('pillow'), SHIPPED: theirs('cv2'), WORKER: making(steps, paths),
            ALL: making(steps, paths, preprocessor)}


def pipeline(cfg: Config) -> List[Any]:
    """Of pretraining with pictures.

    Raises:
        MultiSSLError: If a config has none that crops views.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    steps = (dataset.get('dataset') or {}).get('pipeline') or []
    if not any(map(is_crops, steps)):
        raise MultiSSLError('train_dataloader.dataset.dataset.pipeline has no CropViews; name a '
                            'config that builds on configs/_base_/imagenet_two_views.py')
    return steps


def is_crops(step: Any) -> bool:
    """Whether a step of a pipeline crops views."""
    return bare(step['type']) == 'CropViews'


def making(steps: Sequence[dict], paths: Sequence[str],
           finish: Callable[[dict], Any] = len) -> Callable[[], None]:
    """Loads all pictures in batches, each with its key, and hands the batches on."""
    pipeline = Compose(steps)

    def run() -> None:
        batch = []
        for i, path in enumerate(paths, 1):
            with keyed_randomness(0, i):
                batch.append(pipeline(dict(img_path=path)))
            if len(batch) == BATCH or i == len(paths):
                finish(default_collate(batch))
                batch = []

    return run
