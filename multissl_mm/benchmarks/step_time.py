"""Time of a training step, as ratios to MMPretrain's algorithms and to tasks trained apart."""
import json
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from rich.console import Console
from rich.table import Table

from ..datasets.keyed import ViewKey, mark
from ..errors import MultiSSLError
from ..models.protocols import Recorded, Staged
from ..responses.bank import ResponseBank
from ..utils.files import write_atomically
from .models import Sizes, backbone, device, neck, tasks, training_step
from .timing import Seconds, interleaved, quiet, ratio

APART = 'MoCo v2 + DenseCL'  # a step of each
SUPERVISED = 'supervised'  # a classifier, on one view
#: Of a supervised step's rate: what no step of two views exceeds, of which one is looked at without
#: a backward pass. That pass takes two forward passes: 3 of them there, 4 here.
LIMIT = 3 / 4
#: row: (model, what it is compared with, the bound this project promises)
RATIOS: List[Tuple[str, str, Optional[float]]] = [
    ('MoCo v2', 'mmpretrain.MoCo', 1.02),
    ('DenseCL', 'mmpretrain.DenseCL', None),
    ('multi-task M+D', 'mmpretrain.DenseCL', 1.05),
    ('IL stage 2, teacher', 'mmpretrain.DenseCL', 1.4),
    ('IL stage 2, stored', 'mmpretrain.DenseCL', 1.1),
    ('multi-task M+D', APART, 0.6),
    ('multi-task M+D, uncertainty', APART, None),
    ('multi-task M+D, PCGrad', APART, None),
    ('IL stage 2, teacher', APART, None),
    ('IL stage 2, stored', APART, None),
    ('IL stage 2, features', APART, None),
    ('IL stage 2, CaSSLe', APART, None),
    ('IL stage 2, warm-up', APART, None),
    ('progressive, column 2', APART, None),
    ('Euclidean dist, stored', APART, None),
    ('contrastive dist, experts', APART, None),
]


class StepTimes(NamedTuple):
    """What was measured.

    Ratios by ``<model> / <other>``, the seconds that they are of, peak memory in MiB (on a GPU of
    every model, else of a DenseCL step here and in MMPretrain), the bounds that are not kept,
    pictures per second of every model, and how much of the limit that is: of :data:`LIMIT` times
    the pictures per second of a classifier.
    """
    ratios: Dict[str, float]
    seconds: Seconds
    peak_mib: Dict[str, float]
    failed: List[str]
    rates: Dict[str, float]
    of_limit: Dict[str, float]


def measure_step_time(sizes: Sizes = Sizes(), rounds: int = 9,  # noqa: B008  (immutable)
                      models: Optional[Sequence[str]] = None, out: Optional[Path] = None,
                      console: Optional[Console] = None, on: Optional[str] = None,
                      amp: bool = False, memory: bool = True) -> StepTimes:
    """Times steps of this project's algorithms against MMPretrain's and tasks trained apart.

    All models get the same backbone, the same batch and the same optimizer, in one process; each
    round runs one step of every model in turn. Peak memory is measured in a process per model (on
    a GPU: of the allocator).

    Args:
        sizes (Sizes): Of backbone, views, batch and queues.
        rounds (int): Counted steps of every model.
        models (sequence[str], optional): Only these rows of :data:`RATIOS`; what they are compared
            with is added.
        out (Path, optional): JSON file for the results.
        console (Console, optional): Where the tables are printed.
        on (str, optional): ``cpu`` or ``cuda``. Defaults to a GPU where there is one.
        amp (bool): In mixed precision (bfloat16).
        memory (bool): Measure peaks, which without a GPU takes two processes.
    """
    on = device(on)
    rows = [row for row in RATIOS if not models or row[0] in models]
    if not rows:
        raise MultiSSLError(f'--models: there is no {", ".join(models or ())}; there are '
                            f'{", ".join(dict.fromkeys(row[0] for row in RATIOS))}')
    parts = {part for row in rows for name in row[:2] for part in name.split(' + ')}
    wanted = [name for name in configs(sizes) if name in parts or name == SUPERVISED]
    compared = ['mmpretrain.DenseCL', 'DenseCL'] if memory else []
    peaks = {name: peak_memory(name, sizes, on, amp)  # before others fill the GPU
             for name in (dict.fromkeys(wanted + compared) if on == 'cuda' and memory
                          else compared)}
    with tempfile.TemporaryDirectory() as folder:
        seconds = interleaved({name: build_step(name, sizes, folder, on, amp) for name in wanted},
                              rounds)
    seconds[APART] = [a + b for a, b in zip(seconds.get('MoCo v2', []), seconds.get('DenseCL', []))]
    title = f'{sizes.title()}, {on}{", bfloat16" * amp}, median of {rounds}'
    table = Table('model', 'against', 'ratio', 'bound', title=title)
    rates = {name: sizes.batch_size / statistics.median(seconds[name]) for name in wanted}
    found = StepTimes({}, seconds, peaks, [], rates, {
        name: rate / (LIMIT * rates[SUPERVISED]) for name, rate in rates.items()
        if name != SUPERVISED})
    for name, other, bound in rows:
        measured = found.ratios[f'{name} / {other}'] = ratio(seconds[name], seconds[other])
        table.add_row(name, other, f'{measured:.3f}', f'{bound:.2f}' if bound else '-')
        if bound and measured > bound:
            found.failed.append(f'{name} takes {measured:.3f} x {other}, more than {bound}')
    console = console or Console()
    console.print(table)
    speeds = Table('model', 'pictures/s', 'of the limit', 'peak MiB', title=title)
    for name, rate in rates.items():
        share = f'{found.of_limit[name]:.0%}' if name in found.of_limit else '-'
        speeds.add_row(name, f'{rate:,.1f}', share, f'{peaks[name]:,.0f}' if name in peaks else '-')
    console.print(speeds)
    if memory:
        theirs, ours = (peaks[name] for name in compared)
        console.print(f'peak memory of a DenseCL step: {ours:.0f} MiB here, {theirs:.0f} MiB in '
                      'MMPretrain', highlight=False)
        if ours >= theirs:
            found.failed.append('a DenseCL step takes more memory than MMPretrain\'s')
    if out:
        write_atomically(out, json.dumps(dict(found._asdict(), sizes=sizes._asdict(),
                                              device=on, amp=amp)))
    return found


def configs(sizes: Sizes) -> Dict[str, dict]:
    """Model configs by name; all of the same sizes."""
    moco, densecl = tasks(sizes)
    encoder = backbone(sizes)
    multi: Dict[str, Any] = dict(type='multissl_mm.MultiTask', backbone=encoder,
                                 tasks=[moco, densecl])
    incremental = dict(multi, type='multissl_mm.IncrementalLearning',
                       responses=dict(source='teacher'))
    stored = dict(source='stored', replicas=1)
    experts = dict(type='multissl_mm.ExpertDistillation', views=['query'], backbone=encoder,
                   experts=[dict(name=name, backbone=encoder) for name in ('mocov2', 'densecl')],
                   responses=stored)
    theirs: Dict[str, Any] = dict(
        backbone=encoder, momentum=0.001, feat_dim=sizes.feat_dim, queue_len=sizes.queue_len,
        head=dict(type='mmpretrain.ContrastiveHead', temperature=0.2,
                  loss=dict(type='mmpretrain.CrossEntropyLoss')))
    return {
        SUPERVISED: dict(
            type='mmpretrain.ImageClassifier', backbone=encoder,
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(type='mmpretrain.LinearClsHead', num_classes=1000,
                      in_channels=sizes.width)),
        'mmpretrain.MoCo': dict(theirs, type='mmpretrain.MoCo', neck=neck('MoCoV2', sizes)),
        'MoCo v2': dict(multi, tasks=[moco]),
        'mmpretrain.DenseCL': dict(theirs, type='mmpretrain.DenseCL', neck=neck('DenseCL', sizes)),
        'DenseCL': dict(multi, tasks=[densecl]),
        'multi-task M+D': multi,
        'multi-task M+D, uncertainty': dict(multi, weighting='uncertainty'),
        'multi-task M+D, PCGrad': dict(multi, weighting='pcgrad'),
        'IL stage 2, teacher': incremental,
        'IL stage 2, stored': dict(incremental, responses=stored),
        'IL stage 2, features': dict(
            incremental, distill=dict(type='multissl_mm.FeatureDistillation')),
        'IL stage 2, CaSSLe': dict(
            incremental, distill=dict(type='multissl_mm.CaSSLe', feat_dim=sizes.feat_dim)),
        'IL stage 2, warm-up': incremental,
        'progressive, column 2': dict(
            multi, type='multissl_mm.ProgressiveNet',
            backbone=dict(type='multissl_mm.ProgressiveColumns', columns=[encoder] * 2)),
        'Euclidean dist, stored': experts,
        'contrastive dist, experts': dict(experts, loss='contrastive',
                                          responses=dict(source='teacher')),
    }


def build_step(name: str, sizes: Sizes, bank_root: str, on: Optional[str] = None,
               amp: bool = False) -> Callable[[], None]:
    """A function that makes one training step of the named model; options as above."""
    on = device(on)
    quiet()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model: Any = MODELS.build(configs(sizes)[name]).to(on)
    views = sizes.views(on)
    samples = [BaseDataElement(metainfo=dict(sample_idx=i, replica=0))
               for i in range(sizes.batch_size)]
    if name == SUPERVISED:
        labels = [BaseDataElement(gt_label=torch.zeros(1, dtype=torch.long, device=on))
                  for _ in samples]
        return training_step(model.train(), views[0], labels, amp=amp)
    if isinstance(model, Staged):
        model.set_stage(1, warming_up='warm-up' in name)
    model.train()
    if isinstance(model, Recorded) and model.responses.stored:
        record(model, views, samples, f'{bank_root}/{name}')
    return training_step(model, views, samples, amp=amp)


def record(model: Any, views: list, samples: list, root: str) -> None:
    """Stores the responses of a batch below a folder, and lets its samples bring them."""
    model.eval()
    banks = []
    for who in model.responses.names:
        identity = dict(task=who, weights='', data='', views='', seed=0, samples=len(samples))
        bank = ResponseBank(f'{root}/{who}', identity)
        bank.create()
        with torch.no_grad():
            found = model.current_responses(who, model.name_views(views), samples)
        bank.write(0, 0, iter([found]))
        banks.append(bank)
    for i, sample in enumerate(samples):  # as the loader's workers do
        mark(sample, ViewKey(0, 0, i, tuple(banks)))
    model.train()


def peak_memory(name: str, sizes: Sizes, on: Optional[str] = None, amp: bool = False) -> float:
    """Peak memory of two steps in MiB: of a GPU's allocator, else of a fresh process."""
    on = device(on)
    if on == 'cuda':
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        _two_steps(name, sizes, on, amp)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        return pool.submit(_peak_of_two_steps, name, sizes, on, amp).result()


def _two_steps(name: str, sizes: Sizes, on: str, amp: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        step = build_step(name, sizes, folder, on, amp)
        for _ in range(2):
            step()


def _peak_of_two_steps(name: str, sizes: Sizes, on: str, amp: bool) -> float:
    _two_steps(name, sizes, on, amp)
    # Not getrusage: Linux lets a child start with its parent's peak.
    with open('/proc/self/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmHWM')) / 2**10
