"""Tiny scenes in OmniAudio's layout, and the sound configs cut down to run in seconds."""
from pathlib import Path
from typing import Any, Tuple, Union

import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from tiny import CONFIGS

from multissl_mm.converters.omniaudio import Options, convert
from multissl_mm.simulation.omniaudio import Recording, write_omniaudio

HOW = Recording(seconds=24., size=(32, 64), fps=4, rate=4000)
#: How they are converted.
CONVERTED = Options(fps=4., flow_steps=1, size=(16, 64), rows=(.25, .75), silence=60.)


def write_scenes(root: Path, scenes: int = 3) -> Path:
    """Scenes of 24 s in root/omniaudio, converted in root/converted; returns the latter."""
    write_omniaudio(root / 'omniaudio', 0, scenes, HOW, workers=1)
    convert(root / 'omniaudio', root / 'converted', CONVERTED)
    return root / 'converted'


def sound_config(name: str, data_root: Union[str, Path], work_dir: Union[str, Path],
                 **options: Any) -> Config:
    """A config of ``configs/sound`` with a tiny encoder, 2 scenes and 2 epochs a task."""
    cfg = Config.fromfile(CONFIGS / 'sound' / 'demo' / f'{name}.py')
    _narrow(cfg.model)
    for task in cfg.model.get('tasks', []):
        task.in_channels = 16
        if 'video' in task:
            task.video.update(dict(channels=(4, 4, 8, 8)))
    _tiny_data(cfg, data_root)
    cfg.train_dataloader.sampler.group_size = 4
    cfg.merge_from_dict(
        dict(work_dir=str(work_dir), launcher='none', log_level='WARNING',
             env_cfg=dict(dist_cfg=dict(backend='gloo')),
             train_dataloader=dict(batch_size=8, num_workers=0, persistent_workers=False),
             default_hooks=dict(checkpoint=dict(interval=1, max_keep_ckpts=-1),
                                logger=dict(interval=1))))
    if 'stages' in cfg.train_cfg:
        cfg.train_cfg.stages = [2] * len(cfg.model.tasks)
    else:
        cfg.train_cfg.max_epochs = 2
    if cfg.model.get('responses', {}).get('source') == 'stored':
        cfg.model.responses = dict(source='stored', replicas=2, dtype='float32', shard_size=10)
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in options.items()})
    return cfg


def downstream_config(task: str, data_root: Union[str, Path], work_dir: Union[str, Path],
                      backbone: dict, **options: Any) -> Config:
    """A config of ``configs/benchmarks/sound/demo``, tiny, one epoch, with this backbone."""
    cfg = Config.fromfile(CONFIGS / 'benchmarks' / 'sound' / 'demo' / f'{task}.py')
    cfg.pop('pretrained')
    cfg.model.backbone = backbone
    if task == 'sp':
        cfg.model.decoder.update(size=(4, 16), channels=8)
    elif task == 's3r':
        cfg.model.decoder.coarse = (4, 2)
        cfg.data_preprocessor.update(spectra_n_fft=64, spectra_win_length=64, spectra_hop=32)
    else:
        cfg.model.video.channels = (4, 4, 8, 8)
    _tiny_data(cfg, data_root)
    cfg.merge_from_dict(dict(
        work_dir=str(work_dir), launcher='none', log_level='WARNING',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        train_cfg=dict(max_epochs=1, val_interval=1),
        default_hooks=dict(checkpoint=dict(interval=1), logger=dict(interval=1)),
        **{f'{split}_dataloader': dict(batch_size=12, num_workers=0, persistent_workers=False)
           for split in ('train', 'val', 'test')}))
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in options.items()})
    return cfg


def _narrow(node: Any) -> None:
    if isinstance(node, dict):
        if str(node.get('type')).endswith('BinauralEncoder'):
            node['channels'] = (4, 4, 8, 8, 8)
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            _narrow(child)


def _tiny_data(cfg: Config, data_root: Union[str, Path]) -> None:
    cfg.data_preprocessor.update(n_fft=64, win_length=64, hop_length=80, bands=32)
    for split in ('train', 'val', 'test'):
        if f'{split}_dataloader' in cfg:
            cfg[f'{split}_dataloader'].dataset.dataset.update(
                data_root=str(data_root), splits=dict(train=(1, 2), val=(3, 3), test=(3, 3)))


def batch(n: int = 6, scenes: int = 2, length: int = 8000, frames: int = 8,
          size: Tuple[int, int] = (16, 64), seed: int = 0) -> dict:
    """A random batch as a pipeline packs it: waveforms, videos and ground truth.

    Args:
        n (int): Samples, as many of every scene.
        length (int): Of a clip, in samples of sound.
        frames (int): Of a video.
        size (tuple[int, int]): Of its panoramas.
    """
    torch.manual_seed(seed)
    samples = [BaseDataElement(metainfo=dict(sample_idx=i, replica=0)) for i in range(n)]
    return dict(data_samples=samples, inputs=dict(
        clip=torch.randn(n, 2, length), other=torch.randn(n, 2, length), gap=torch.rand(n),
        flow=4 * torch.randn(n, frames, 2, *size), foreground=torch.rand(n, frames, 3, *size),
        rotation=torch.randint(8, (n, )), scene=torch.arange(n) // (n // scenes) + 140))
