"""Recording what a model answers to every view of the training set (section 4.3 and 4.4)."""
import secrets
from pathlib import Path
from tempfile import TemporaryFile
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, TypeVar

import torch
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader

from ..datasets.keyed import KeyedDataset, KeyedSampler, ViewKey
from ..datasets.some_views import SomeViews
from ..errors import MultiSSLError
from ..models.protocols import Recorded
from ..runtime.processes import decided
from ..utils.digest import digest, state_digest
from ..utils.files import existing
from ..utils.model import looking_at, unwrap
from ..utils.stopping import OutliveSignals
from .bank import ResponseBank, check_free
from .sharing import SharedWork, check_shared, every_rank, until

T = TypeVar('T')


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


def keep(runner: Runner, model: Recorded, names: Sequence[str]) -> None:
    """Lets the loader bring the stored responses of ``names`` from the next epoch on.

    It then shows the views that there are responses to; without names, new ones every epoch.
    """
    if model.responses.replicas is None:
        return
    sampler = keyed_sampler(runner)
    sampler.replicas = model.responses.replicas if names else None
    if model.responses.stored and [bank.name for bank in sampler.kept] != list(names):
        sampler.kept = tuple(_recorded_bank(runner, model, name) for name in names)


def _recorded_bank(runner: Runner, model: Recorded, name: str) -> ResponseBank:
    bank = open_bank(runner, model, name)
    missing = bank.missing()
    if missing:
        raise MultiSSLError(
            f'{bank.root} lacks {len(missing)} of the {len(bank.shards())} shards of responses of '
            f"{name} that this run is held to; resume from the checkpoint of the end of that "
            "task's stage, which records them, or set model.responses.root to where they are")
    return bank


def open_bank(runner: Runner, model: Recorded, name: str) -> ResponseBank:
    """The bank of one responder, of exactly the weights that the model has noted for it."""
    root = _root(runner, model, name)
    dataset = runner.train_dataloader.dataset
    identity = dict(task=name, weights=model.responses.digest(name)[:16], samples=len(dataset),
                    seed=keyed_sampler(runner).seed, kind=model.response_kind(),
                    inputs=_inputs(model, name), **dataset.fingerprint())
    return _bank(root, identity, model)


def _bank(root: Path, identity: dict, model: Recorded) -> ResponseBank:
    options = {k: v for k, v in model.responses.bank_cfg.items() if k != 'root'}
    return ResponseBank(root, identity, replicas=model.responses.replicas, **options)


def _root(runner: Runner, model: Recorded, name: str) -> Path:
    root = model.responses.bank_cfg.get('root')
    return Path(root or Path(runner.work_dir) / 'responses') / name


def _begun(root: Path) -> bool:
    return (root / 'manifest.json').is_file()


def check_writable(runner: Runner, model: Recorded, names: Sequence[str]) -> None:
    """Looks whether banks can be recorded, long before they are; one that is there is only read.

    Raises:
        MultiSSLError: Names the folder.
    """
    for root in (_root(runner, model, name) for name in names):
        if _begun(root):
            continue
        try:
            TemporaryFile(dir=existing(root)).close()
        except OSError as e:
            raise MultiSSLError(f'{root}: responses could not be kept there ({e.strerror}); set '
                                'model.responses.root to a folder that can be written') from e


def check_room(runner: Runner, model: Recorded, names: Sequence[str]) -> None:
    """Looks whether banks that are not begun yet will fit, long before they are recorded.

    What a model answers has one shape at all times, so that one sample tells it. A compiled model
    is not asked: it would be compiled for that alone. Must be called on all ranks.

    Raises:
        MultiSSLError: If not; says how much there is.
    """
    whole = unwrap(runner.model)
    if any(getattr(module, '_compiled_call_impl', None) for module in whole.modules()):
        return
    samples = len(runner.train_dataloader.dataset)
    key = ViewKey(keyed_sampler(runner).seed, 0, 0)
    needed: Dict[str, int] = {}
    with looking_at(whole):
        for name in names:
            root = _root(runner, model, name)
            if not _begun(root):
                bank = _bank(root, dict(task=name, samples=samples), model)
                responses = next(_responses(runner, model, name, [key], workers=0))
                needed[name] = bank.needed({n: r.shape[1:] for n, r in responses.items()})
    if needed:
        check_free(root.parent, ', '.join(needed), sum(needed.values()))


def record(runner: Runner, model: Recorded, name: str) -> None:
    """Records what is missing in the bank of one responder, shared among all ranks.

    Raises:
        MultiSSLError: If the ranks do not share the folder of the bank, before anything is
            recorded; if a rank fails, on all of them.
    """
    model.responses.set_digest(name, state_digest(model.responders(name)))
    bank = open_bank(runner, model, name)
    missing, token = decided(lambda: (bank.missing(verify=True), secrets.token_hex(8)))
    if missing:
        if is_main_process():
            bank.create()
        check_shared(bank.root, token, 'model.responses.root')
        runner.logger.info(f'recording the responses of {name} in {bank.root}: {bank.replicas} x '
                           f'{bank.samples} samples, {len(missing)} of {len(bank.shards())} '
                           'shards to do')
        work = SharedWork(token, missing)
        # In eval mode: with running statistics a response does not depend on its batch.
        with looking_at(unwrap(runner.model)), work.together(), \
                _progress(is_main_process()) as progress:
            bar = progress.add_task(f'responses of {name}', total=len(missing))
            for replica, shard in work.take():
                keys = [ViewKey(keyed_sampler(runner).seed, replica, i) for i in bank.rows(shard)]
                bank.write(replica, shard, _while_wanted(
                    work, _responses(runner, model, name, keys)))
                progress.update(bar, completed=work.finished())
    every_rank(until(lambda: not bank.missing()),
               f'{bank.root} still lacks shards after the recording: is it one folder for all '
               'processes, and does nobody else write there? Set model.responses.root')


def _while_wanted(work: SharedWork, batches: Iterator[T]) -> Iterator[T]:
    for batch in batches:
        work.stop_if_asked()
        yield batch


def _responses(runner: Runner, model: Recorded, name: str,
               keys: List[ViewKey], workers: Optional[int] = None) -> Iterator[Dict[str, Tensor]]:
    train = runner.train_dataloader
    wanted = model.response_views(name)
    workers = train.num_workers if workers is None else workers
    loader = DataLoader(SomeViews(train.dataset, model.view_names, wanted),
                        batch_size=train.batch_size, sampler=keys, num_workers=workers,
                        collate_fn=train.collate_fn, generator=torch.Generator(),
                        worker_init_fn=OutliveSignals(),
                        multiprocessing_context=train.multiprocessing_context if workers else None)
    listed = [view for view in model.view_names if view in wanted]
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        inputs = data['inputs']
        views = inputs if isinstance(inputs, Mapping) else dict(zip(listed, inputs))
        yield model.current_responses(name, views, data.get('data_samples'))


def _progress(enabled: bool) -> Progress:
    return Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                    TimeRemainingColumn(), disable=not enabled)


def _inputs(model: Recorded, name: str) -> str:
    """Digest of what the model makes of a batch: names of views, and normalisation."""
    preprocessor = model.data_preprocessor
    # Of modules inside, too: what an STFT does stands nowhere else. Not on which device.
    settings = [{key: value for key, value in vars(module).items() if key != 'training' and
                 isinstance(value, (bool, int, float, str, tuple, list))}
                for module in preprocessor.modules()]
    return digest((model.view_names, model.response_views(name), repr(preprocessor), settings,
                   dict(preprocessor.named_buffers())))
