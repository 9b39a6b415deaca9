"""Tiny data and configs: the real configs, cut down to run in seconds on a CPU."""
from pathlib import Path
from typing import Any, Dict, Union

import numpy as np
from mmengine.config import Config
from PIL import Image

CONFIGS = Path(__file__).parent.parent / 'configs'
N_IMAGES = 24
CHANNELS = 64  # of the tiny backbone's last stage


def write_images(root: Path, count: int = N_IMAGES) -> Path:
    """Smooth random pictures of 40 px in root/train, as an unlabelled ImageNet-like folder."""
    rng = np.random.default_rng(0)
    folder = root / 'train' / 'n00000000'
    folder.mkdir(parents=True)
    for i in range(count):
        coarse = rng.integers(0, 255, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 40)).save(folder / f'{i:04d}.JPEG')
    return root


def backbone() -> Dict[str, Any]:
    return dict(type='mmpretrain.ResNet', depth=18, base_channels=8, norm_cfg=dict(type='BN'))


def moco_task(queue_len: int = 64) -> Dict[str, Any]:
    return dict(
        type='multissl_mm.MoCoV2Task', feat_dim=16, queue_len=queue_len,
        neck=dict(type='mmpretrain.MoCoV2Neck', in_channels=CHANNELS, hid_channels=32,
                  out_channels=16))


def densecl_task(queue_len: int = 64) -> Dict[str, Any]:
    return dict(
        type='multissl_mm.DenseCLTask', feat_dim=16, queue_len=queue_len,
        neck=dict(type='mmpretrain.DenseCLNeck', in_channels=CHANNELS, hid_channels=32,
                  out_channels=16))


def simclr_task() -> Dict[str, Any]:
    return dict(type='multissl_mm.AlgorithmTask', algorithm=dict(
        type='mmpretrain.SimCLR',
        neck=dict(type='mmpretrain.NonLinearNeck', in_channels=CHANNELS, hid_channels=32,
                  out_channels=16, norm_cfg=dict(type='BN1d')),
        head=dict(type='mmpretrain.ContrastiveHead', temperature=.1,
                  loss=dict(type='mmpretrain.CrossEntropyLoss'))))


def byol_task() -> Dict[str, Any]:
    neck = dict(type='mmpretrain.NonLinearNeck', hid_channels=32, out_channels=16,
                norm_cfg=dict(type='BN1d'))
    return dict(type='multissl_mm.AlgorithmTask', algorithm=dict(
        type='mmpretrain.BYOL', base_momentum=.01, neck=dict(neck, in_channels=CHANNELS),
        head=dict(type='mmpretrain.LatentPredictHead',
                  loss=dict(type='mmpretrain.CosineSimilarityLoss'),
                  predictor=dict(neck, in_channels=16, with_avg_pool=False))))


def worker_views(cfg: Config) -> Config:
    """The same run on MMPretrain's own pipeline, all of it in the workers."""
    theirs = Config.fromfile(CONFIGS / '_base_' / 'imagenet_worker_views.py')
    pipeline = theirs.train_dataloader.dataset.dataset.pipeline
    dataset = cfg.train_dataloader.dataset.dataset
    pipeline[1].transforms[0][0] = dataset.pipeline[1].transforms[0][0]
    dataset.pipeline, cfg.data_preprocessor = pipeline, theirs.data_preprocessor
    return cfg


def epochs(cfg: Config) -> int:
    """How many epochs a run of this config has."""
    return cfg.train_cfg.get('max_epochs') or sum(cfg.train_cfg.stages)


def tiny_config(name: str, data_root: Union[str, Path], work_dir: Union[str, Path],
                **options: Any) -> Config:
    """A config of ``configs/`` with a tiny backbone, 4 epochs at most and 24 images.

    Args:
        name (str): Of the config, without ``.py``.
        options: Further values to set, the dots of their keys as double underscores.
    """
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    dataset = cfg.train_dataloader.dataset.dataset
    size = dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.), backend='pillow')
    dataset.pipeline[1].transforms[0][0] = size
    dataset.update(type='CustomDataset', data_root=str(data_root), data_prefix='train',
                   with_label=False)
    dataset.pop('split', None)
    if cfg.model.type.endswith('ProgressiveNet'):
        cfg.model.backbone.columns = [backbone()] * 2
    else:
        cfg.model.backbone = backbone()
    for expert in cfg.model.get('experts', []):  # of random weights, each its own
        expert.backbone = backbone()
    tasks = dict(mocov2=moco_task(), densecl=densecl_task(), simclr=simclr_task(),
                 byol=byol_task())
    cfg.model.tasks = [dict(tasks[task.name], name=task.name,
                            **({'head': task.head} if 'head' in task else {}))
                       for task in cfg.model.get('tasks', [])]
    if not cfg.model.tasks:
        cfg.model.pop('tasks')
    distill = cfg.model.get('distill', {})
    if 'hid_channels' in distill:
        distill.update(dict(feat_dim=16) if 'feat_dim' in distill else dict(in_channels=CHANNELS),
                       hid_channels=32)
    cfg.merge_from_dict(
        dict(work_dir=str(work_dir), launcher='none', log_level='WARNING',
             env_cfg=dict(dist_cfg=dict(backend='gloo'), cudnn_benchmark=False),
             train_dataloader=dict(batch_size=8, num_workers=0, persistent_workers=False),
             default_hooks=dict(checkpoint=dict(interval=1, max_keep_ckpts=-1),
                                logger=dict(interval=1))))
    if 'stages' in cfg.train_cfg:
        cfg.train_cfg.stages = [2, 2]
    else:
        cfg.train_cfg.max_epochs = 2
    if cfg.model.get('responses', {}).get('source') == 'stored':
        cfg.model.responses = dict(source='stored', replicas=2, dtype='float32', shard_size=10)
    for key, value in options.items():
        *parents, last = key.split('__')
        node = cfg
        for parent in parents:
            node = node[parent]
        node[last] = value
    return cfg
