"""What a pretraining run of pictures will cost, before anyone starts it."""
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ..errors import MultiSSLError
from ..models.algorithms.base import needed
from ..models.protocols import Recorded, Staged
from ..runtime import load_config
from ..utils.files import write_atomically
from .loader import WORKER, is_crops, measure_loader, pipeline, write_pictures
from .models import device, training_step
from .ram import measure_worker, node_ram, resident
from .step_time import record
from .timing import interleaved, quiet

IMAGENET = 1_281_167
WRITTEN = 64  # MB, to time a disk
LARGE = 100  # GB of responses, for which there is advice
#: RAM as ``--measure`` found it on two cores of a Xeon without a GPU.
PROCESS_MB, WORKER_MB = 2070., 155.


class Machine(NamedTuple):
    """Coefficients of a machine; :func:`measure_machine` finds those marked with a star.

    Args:
        step (float): Pictures per second that one GPU (or CPU) trains (*).
        loader (float): Pictures per second that one core loads (*).
        disk (float): MB/s that a node writes (*).
        network (float): GB/s between nodes, of each; 12.5 is 100 Gbit Ethernet or EDR.
        read (float): MB/s that a node reads pictures at.
        cores (int): Of a node.
        picture (float): KB of a file.
        process (float): MB of RAM of a training process itself (*). The default is of one on a CPU,
            model and features included; on a GPU its libraries are there instead.
        worker (float): MB of RAM that a worker of the loader does not share (*).
    """
    step: float
    loader: float
    disk: float
    network: float = 12.5
    read: float = 1000.
    cores: int = 64
    picture: float = 110.
    process: float = PROCESS_MB
    worker: float = WORKER_MB


class Sizes(NamedTuple):
    """Bytes of what a run keeps and sends.

    Args:
        gradients (int): Of the parameters that are trained.
        state (int): Of a checkpoint: weights, buffers, the optimizer's momentum.
        responses (dict[str, int]): Of one sample, by task or expert whose responses are stored.
        exchanged (int): Of a picture between ranks: pixels of its key views there, what tasks take
            of them back; the mean over the epochs of all stages.
        views (int): Of a sample's crops.
    """
    gradients: int
    state: int
    responses: Dict[str, int]
    exchanged: int
    views: int = 0


def build(cfg: Config) -> Tuple[Any, List[Tensor]]:
    """The model of a config, and two pictures as its views, each (2, 3, H, W)."""
    crops = [step for step in pipeline(cfg) if is_crops(step)]
    quiet()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    scales = [view[0]['scale'] for step in crops for view, count in
              zip(step.transforms, np.broadcast_to(step.num_views, len(step.transforms)))
              for _ in range(count)]
    return model, [torch.randn(2, 3, scale, scale) for scale in scales]


def sizes(cfg: Config) -> Sizes:
    """Counts bytes on the model itself, which sees two pictures on the CPU."""
    model, views = build(cfg)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    state = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    optimizer = cfg.optim_wrapper.optimizer.type
    momenta = 2 if 'Adam' in optimizer or optimizer.endswith('Lamb') else 1
    kept = {}
    model.eval()
    with torch.no_grad():
        if isinstance(model, Recorded) and model.responses.stored:
            bytes_each = np.dtype(cfg.model.responses.get('dtype', 'float16')).itemsize
            for name in model.responses.names:
                found = model.current_responses(name, model.name_views(views))
                kept[name] = sum(r[0].numel() for r in found.values()) * bytes_each
        exchanged = _exchanged(model, views, cfg.train_cfg.get('stages'))
    return Sizes(4 * trained, state + 4 * trained * momenta, kept, exchanged,
                 sum(view[0].numel() for view in views))


def _exchanged(model: Any, views: List[Tensor], stages: Optional[Sequence[int]]) -> int:
    tasks = list(getattr(model, 'tasks', {}).values())
    learned = [[task] for task in tasks] if stages else [tasks]  # a stage learns one
    sent = []
    for some in learned:
        named = model.make(model.name_views(views), None, some) if some else {}
        there = sum(named[name][0].numel() for name in needed(some, 'key_views'))  # uint8
        back = sum(x[0].numel() * x.element_size()
                   for feats in (model.encode_keys(named, some) if there else {}).values()
                   for features in feats.values() for x in features)
        sent.append(there + back)
    return round(float(np.average(sent, weights=stages)))


def measure_machine(cfg: Config, batch_size: int = 8, rounds: int = 3, count: int = 32) -> Machine:
    """Times a step, loading and writing, on one GPU or the CPU of this machine, and looks at RAM.

    The step of an incremental run is that of its first stage; by how much the others differ says
    ``tools/benchmarks/step_time.py``.
    """
    model, views = build(cfg)
    model = model.to(device()).train()
    batch = [view[:1].repeat(batch_size, 1, 1, 1).to(device()) for view in views]
    samples = [BaseDataElement(metainfo=dict(sample_idx=i, replica=0)) for i in range(batch_size)]
    with tempfile.TemporaryDirectory(dir='.') as folder:
        if isinstance(model, Recorded) and model.responses.stored and not isinstance(model, Staged):
            record(model, batch, samples, f'{folder}/responses')
        seconds = interleaved(dict(step=training_step(model, batch, samples)), rounds)
        process = resident()
        cfg.dump(f'{folder}/config.py')
        paths = write_pictures(Path(folder), count)
        spent = measure_loader(f'{folder}/config.py', paths, rounds=rounds,
                               console=Console(quiet=True))
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            worker = measure_worker(cfg.train_dataloader.dataset.dataset.pipeline, paths)
        start = time.perf_counter()
        with open(f'{folder}/written', 'wb') as file:
            file.write(bytes(WRITTEN * 2**20))
            os.fsync(file.fileno())
        disk = WRITTEN / (time.perf_counter() - start)
    return Machine(batch_size / statistics.median(seconds['step']),
                   1000 / statistics.median(spent[WORKER]), disk, process=process, worker=worker)


def estimate(cfg: Config, found: Sizes, machine: Machine, gpus: int, nodes: int = 1,
             samples: int = IMAGENET) -> Dict[str, Any]:
    """Time, disk, memory and traffic of a run.

    A run is as fast as the slowest of four: steps, loading, reading pictures, and the network,
    which may work while the others do. docs/performance.md derives each.

    Args:
        cfg (Config): Of pretraining.
        found (Sizes): Of :func:`sizes`.
        machine (Machine): Of one node and one GPU.
        gpus (int): Of all nodes.
        nodes (int): That share them evenly.
        samples (int): Pictures of an epoch.

    Returns:
        dict: ``rates`` in pictures per second by what bounds them, ``bound`` the lowest,
        ``hours``, ``gpu_hours``, ``bank_gb`` by task, ``checkpoints_gb``, ``ram_gb`` of a node by
        what takes it, and ``traffic_gb`` that a node sends in all.

    Raises:
        MultiSSLError: If the GPUs are no multiple of the nodes.
    """
    if nodes < 1 or gpus < nodes or gpus % nodes:
        raise MultiSSLError(f'{gpus} GPUs are not shared evenly by {nodes} nodes')
    loader, stages = cfg.train_dataloader, cfg.train_cfg.get('stages')
    epochs = sum(stages) if stages else cfg.train_cfg.max_epochs
    batch = loader.batch_size * gpus
    workers = nodes * min(machine.cores, max(1, loader.num_workers) * gpus // nodes)
    rates = dict(steps=machine.step * gpus, loading=machine.loader * workers,
                 reading=machine.read * nodes * 1e3 / machine.picture)
    sent = 0.  # bytes per picture of the whole batch, by each node
    if nodes > 1:
        # A ring sends all gradients nearly twice past every node; the rows of a node's pictures go
        # evenly to all ranks, most of which are elsewhere, and their maps come back.
        elsewhere = 1 - 1 / nodes
        sent = 2 * found.gradients * elsewhere / batch + found.exchanged * elsewhere / nodes
        rates['network'] = machine.network * 1e9 / sent
    bound = min(rates, key=rates.__getitem__)
    hours = samples * epochs / rates[bound] / 3600
    replicas = cfg.model.get('responses', {}).get('replicas', 1)
    hook = cfg.default_hooks.checkpoint
    checkpoint = hook.get('max_keep_ckpts', -1)
    if checkpoint <= 0:  # all of them
        checkpoint = -(-epochs // max(1, hook.get('interval', 1)))
    checkpoint += len(stages or [])
    bank = {name: size * samples * replicas / 1e9 for name, size in found.responses.items()}
    if stages:  # nobody is held to what the last task answers
        bank.pop(list(bank)[-1], None) if len(bank) == len(stages) else None
    kept = sum(found.responses[name] for name in bank)  # which workers read
    return dict(rates=rates, bound=bound, hours=hours, gpu_hours=hours * gpus, bank_gb=bank,
                writing_hours=sum(bank.values()) * 1e3 / machine.disk / nodes / 3600,
                checkpoints_gb=checkpoint * found.state / 1e9,
                ram_gb=node_ram(cfg, machine.process, machine.worker, found.views + kept,
                                found.state, gpus // nodes, samples),
                traffic_gb=sent * samples * epochs / 1e9)


def report_cost(config: str, gpus: int, nodes: int, samples: int, machine: Machine,
                out: Optional[Path] = None, console: Optional[Console] = None) -> Dict[str, Any]:
    """Prints :func:`estimate` of a config, and writes it as JSON; arguments as there."""
    cfg = load_config(config)
    cost = estimate(cfg, sizes(cfg), machine, gpus, nodes, samples)
    table = Table('bound by', 'pictures per second', title=f'{config}, {gpus} GPUs on {nodes} '
                  f'node{"s" * (nodes > 1)}, {samples:,} pictures')
    for name, rate in cost['rates'].items():
        table.add_row(name, f'{rate:,.0f}', style='bold' if name == cost['bound'] else '')
    console = console or Console()
    console.print(table)
    bank = ', '.join(f'{name} {size:,.1f} GB' for name, size in cost['bank_gb'].items()) or 'none'
    console.print(
        f'{cost["hours"]:,.1f} hours, {cost["gpu_hours"]:,.0f} GPU-hours, bound by '
        f'{cost["bound"]}\nstored responses: {bank}; {cost["writing_hours"]:.1f} hours to write '
        f'at {machine.disk:,.0f} MB/s a node\ncheckpoints: {cost["checkpoints_gb"]:.1f} GB\n'
        f'RAM of a node: {sum(cost["ram_gb"].values()):,.1f} GB ('
        + ', '.join(f'{what} {size:,.1f}' for what, size in cost['ram_gb'].items()) + ')\n'
        f'traffic: {cost["traffic_gb"]:,.0f} GB from each node', highlight=False, soft_wrap=True)
    if sum(cost['bank_gb'].values()) > LARGE:
        console.print('To store less: fewer model.responses.replicas, responses of the task with '
                      'the smaller ones first (il_mocov2_densecl.py keeps those of MoCo v2), or '
                      "model.responses.source='teacher', which stores nothing", soft_wrap=True)
    if out:
        write_atomically(out, json.dumps(dict(cost, machine=machine._asdict())))
    return cost
