"""What the hooks that watch a run share: where their numbers go, and the same samples always."""
import os
import random
from typing import Dict, Iterator, List

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...datasets.keyed import KeyedDataset, ViewKey
from ...errors import MultiSSLError
from ...utils.stopping import OutliveSignals
from .interruption import InterruptionHook


def report(runner: Runner, scalars: Dict[str, float], epoch: int, step: int) -> None:
    """Writes numbers to every backend of the run's visualizer, and one line to its log.

    Args:
        scalars (dict[str, float]): By name.
        epoch (int): From 1, as the logger counts them.
        step (int): From 1.
    """
    runner.visualizer.add_scalars(dict(scalars, epoch=epoch, iter=step), step=step)
    runner.logger.info(f'Epoch(watch) [{epoch}]  ' +
                       '  '.join(f'{name}: {value:.4f}' for name, value in scalars.items()))


def build_dataset(runner: Runner, cfg: dict, key: str) -> KeyedDataset:
    """A dataset that gives the same views of a sample at every look.

    Args:
        cfg (dict): Of a dataset derived from :class:`mmengine.dataset.BaseDataset`; without a
            ``pipeline`` it gets that of the training data.
        key (str): Of the config, for errors.
    """
    cfg, root = dict(cfg), cfg.get('data_root')
    if root and '://' not in root and not os.path.exists(root):
        raise MultiSSLError(f'{key}.data_root: {root} does not exist; put the data there, or '
                            'remove the hook from custom_hooks')
    if 'pipeline' not in cfg:
        train = runner.train_dataloader.dataset
        if not getattr(train, 'pipeline_cfg', None):
            raise MultiSSLError(f'{key} has no pipeline, and train_dataloader.dataset is no '
                                'multissl_mm.KeyedDataset with one to take; give it one')
        cfg['pipeline'] = train.pipeline_cfg
    dataset = KeyedDataset(cfg)
    dataset.full_init()
    return dataset


def loader(runner: Runner, dataset: KeyedDataset, limit: int, batch_size: int,
           whole_batches: bool = False) -> DataLoader:
    """This rank's share of ``limit`` samples of a dataset: the same samples and views always.

    Args:
        limit (int): On all ranks together; fewer where the dataset has fewer, or where they
            cannot be dealt out evenly.
        batch_size (int): Per rank.
        whole_batches (bool): Leave out what does not fill a batch on every rank.
    """
    train = runner.train_dataloader
    keys = [ViewKey(0, 0, i)
            for i in share(len(dataset), limit, batch_size if whole_batches else 1)]
    return DataLoader(dataset, batch_size, sampler=keys, num_workers=train.num_workers,
                      collate_fn=train.collate_fn, pin_memory=train.pin_memory,
                      generator=torch.Generator(), worker_init_fn=OutliveSignals())


def while_wanted(runner: Runner, batches: DataLoader) -> Iterator[dict]:
    """The batches of a look, which is left where the run is asked to stop.

    Where the run goes on it begins anew: an epoch ends for a second time, or begins.

    Raises:
        Interrupted: By :class:`InterruptionHook`, if the run has one.
    """
    asked = [hook for hook in runner.hooks if isinstance(hook, InterruptionHook)]
    for batch in batches:
        yield batch
        for hook in asked:
            hook.after_look(runner)


def share(total: int, limit: int, multiple: int = 1) -> List[int]:
    """Indices of this rank, as many on every rank.

    Evenly spaced, so that a dataset sorted by class gives all of its classes, and shuffled, so
    that a batch has many of them.

    Args:
        total (int): Size of the dataset.
        limit (int): How many in all.
        multiple (int): Every rank's number is a multiple of it.
    """
    rank, world = get_dist_info()
    count = min(total, limit) // (world * multiple) * world * multiple
    picked = [i * total // count for i in range(count)]
    random.Random(0).shuffle(picked)
    return picked[rank::world]
