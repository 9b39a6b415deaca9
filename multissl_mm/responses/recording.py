"""Recording what a model answers to every view of the training set (section 4.3 and 4.4)."""
import hashlib
from pathlib import Path
from typing import Dict, Iterator, List

import torch
from mmengine.dist import barrier, get_dist_info, is_main_process
from mmengine.runner import Runner
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets.keyed import KeyedDataset, KeyedSampler, ViewKey
from ..errors import MultiSSLError
from .bank import ResponseBank


def keyed_sampler(runner: Runner) -> KeyedSampler:
    """The training sampler, after a check that views are reproducible at all.

    Raises:
        MultiSSLError: If dataset or sampler are not keyed; names the config key.
    """
    loader = runner.train_dataloader
    if not isinstance(loader.dataset, KeyedDataset):
        raise MultiSSLError('model.responses.replicas needs reproducible views: make '
                            'train_dataloader.dataset a multissl_mm.KeyedDataset around yours')
    if not isinstance(loader.sampler, KeyedSampler):
        raise MultiSSLError('model.responses.replicas needs reproducible views: set '
                            "train_dataloader.sampler.type to 'multissl_mm.KeyedSampler'")
    return loader.sampler


def open_bank(runner: Runner, model: nn.Module, name: str) -> ResponseBank:
    """The bank of one responder, of exactly the weights that the model has noted for it."""
    source = model.responses
    cfg = dict(source.bank_cfg)
    root = Path(cfg.pop('root', None) or Path(runner.work_dir) / 'responses') / name
    dataset = runner.train_dataloader.dataset
    identity = dict(task=name, weights=source.digest(name)[:16], samples=len(dataset),
                    seed=keyed_sampler(runner).seed, **dataset.fingerprint())
    identity['inputs'] = _inputs(model)
    identity['kind'] = model.response_kind()
    source.banks[name] = ResponseBank(root, identity, replicas=source.replicas, **cfg)
    return source.banks[name]


@torch.no_grad()
def record(runner: Runner, model: nn.Module, name: str) -> None:
    """Records what is missing in the bank of one responder, shared among all ranks."""
    model.responses.set_digest(name, digest(model.responders(name)))
    bank = open_bank(runner, model, name)
    rank, world = get_dist_info()
    if is_main_process():
        bank.create()
    barrier()
    missing = bank.missing()
    barrier()  # nobody writes before everybody has seen what is missing
    if missing:
        runner.logger.info(f'recording the responses of {name} in {bank.root}: {bank.replicas} x '
                           f'{bank.samples} samples, {len(missing)} of {len(bank.shards())} '
                           'shards to do')
    was_training = model.training
    model.eval()  # with running statistics a response does not depend on its batch
    with _progress(is_main_process() and bool(missing)) as progress:
        mine = missing[rank::world]
        bar = progress.add_task(f'responses of {name}',
                                total=sum(len(bank.rows(s)) for _, s in mine))
        for replica, shard in mine:
            keys = [ViewKey(keyed_sampler(runner).seed, replica, i) for i in bank.rows(shard)]
            bank.write(replica, shard, _responses(runner, model, name, keys))
            progress.advance(bar, len(keys))
    model.train(was_training)
    barrier()


def _responses(runner: Runner, model: nn.Module, name: str,
               keys: List[ViewKey]) -> Iterator[Dict[str, Tensor]]:
    train = runner.train_dataloader
    loader = DataLoader(train.dataset, batch_size=train.batch_size, sampler=keys,
                        num_workers=train.num_workers, collate_fn=train.collate_fn,
                        generator=torch.Generator())
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        yield model.current_responses(name, model.name_views(data['inputs']),
                                      data['data_samples'])


def _progress(enabled: bool) -> Progress:
    return Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                    TimeRemainingColumn(), disable=not enabled)


def _inputs(model: nn.Module) -> str:
    """Digest of what the model makes of a batch: names of views, and normalisation."""
    preprocessor = model.data_preprocessor
    text = repr((model.view_names, getattr(model, 'views', None), repr(preprocessor),
                 getattr(preprocessor, '_channel_conversion', None),
                 {name: buffer.flatten().tolist() for name, buffer in
                  preprocessor.named_buffers()}))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(module: nn.Module) -> bytes:
    """SHA-256 of names and values of all parameters and buffers."""
    sha = hashlib.sha256()
    for key, value in module.state_dict().items():
        sha.update(key.encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.digest()
