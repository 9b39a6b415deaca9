"""Time of a training step, as ratios to MMPretrain's algorithms and to tasks trained apart.

    python tools/benchmarks/step_time.py

All models get the same backbone, the same batch and the same optimizer, in one process; each round
runs one step of every model in turn, so that a machine whose speed drifts slows all of them. What
is printed is the median over rounds of the ratio within a round. Peak memory is measured in a
process per model (on a GPU: of the allocator).
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Callable, Dict, List

import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

import multissl_mm  # noqa: F401
from multissl_mm.models.protocols import Recorded, Staged
from multissl_mm.responses.bank import ResponseBank

APART = 'MoCo v2 + DenseCL'  # a step of each
#: row: (model, what it is compared with, the bound this project promises)
RATIOS = [
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


def configs(args: argparse.Namespace) -> Dict[str, dict]:
    """Model configs by name; all of the same sizes."""
    width = 2048 if args.depth >= 50 else 512
    backbone = dict(type='mmpretrain.ResNet', depth=args.depth, norm_cfg=dict(type='BN'))
    necks = {
        n: dict(type=f'mmpretrain.{n}', in_channels=width, hid_channels=2048,
                out_channels=args.feat_dim)
        for n in ('MoCoV2Neck', 'DenseCLNeck')
    }
    sizes = dict(feat_dim=args.feat_dim, queue_len=args.queue_len)
    head = dict(type='mmpretrain.ContrastiveHead', temperature=0.2,
                loss=dict(type='mmpretrain.CrossEntropyLoss'))
    moco = dict(name='mocov2', type='multissl_mm.MoCoV2Task', neck=necks['MoCoV2Neck'], **sizes)
    densecl = dict(name='densecl', type='multissl_mm.DenseCLTask', neck=necks['DenseCLNeck'],
                   **sizes)
    both = [moco, densecl]
    ours = dict(backbone=backbone)
    multi = dict(type='multissl_mm.MultiTask', tasks=both, **ours)
    incremental = dict(type='multissl_mm.IncrementalLearning', tasks=both,
                       responses=dict(source='teacher'), **ours)
    experts = dict(type='multissl_mm.ExpertDistillation', views=['query'],
                   experts=[dict(name=n, backbone=backbone) for n in ('mocov2', 'densecl')],
                   responses=dict(source='stored', replicas=1), **ours)
    theirs = dict(backbone=backbone, head=head, momentum=0.001, **sizes)
    return {
        'mmpretrain.MoCo': dict(type='mmpretrain.MoCo', neck=necks['MoCoV2Neck'], **theirs),
        'MoCo v2': dict(type='multissl_mm.MultiTask', tasks=[moco], **ours),
        'mmpretrain.DenseCL': dict(type='mmpretrain.DenseCL', neck=necks['DenseCLNeck'], **theirs),
        'DenseCL': dict(type='multissl_mm.MultiTask', tasks=[densecl], **ours),
        'multi-task M+D': multi,
        'multi-task M+D, uncertainty': dict(multi, weighting='uncertainty'),
        'multi-task M+D, PCGrad': dict(multi, weighting='pcgrad'),
        'IL stage 2, teacher': incremental,
        'IL stage 2, stored': dict(incremental, responses=dict(source='stored', replicas=1)),
        'IL stage 2, features': dict(
            incremental, distill=dict(type='multissl_mm.FeatureDistillation')),
        'IL stage 2, CaSSLe': dict(
            incremental, distill=dict(type='multissl_mm.PredictiveDistillation',
                                      in_channels=width)),
        'IL stage 2, warm-up': incremental,
        'progressive, column 2': dict(
            type='multissl_mm.ProgressiveNet', tasks=both,
            backbone=dict(type='multissl_mm.ProgressiveColumns', columns=[backbone] * 2)),
        'Euclidean dist, stored': experts,
        'contrastive dist, experts': dict(experts, loss='contrastive',
                                          responses=dict(source='teacher')),
    }


def build(name: str, args: argparse.Namespace, bank_root: str) -> Callable[[], None]:
    """A function that makes one training step of the named model."""
    torch.manual_seed(0)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model: nn.Module = MODELS.build(configs(args)[name]).to(device).train()
    inputs = [torch.randn(args.batch_size, 3, args.size, args.size, device=device)
              for _ in range(2)]
    samples: List[BaseDataElement] = [
        BaseDataElement(metainfo=dict(sample_idx=i, replica=0)) for i in range(args.batch_size)
    ]
    if isinstance(model, Staged):
        model.set_stage(1, warming_up='warm-up' in name)
        model.train()
    if isinstance(model, Recorded) and model.responses.stored:
        responses = model.responses
        identity = dict(weights='', data='', views='', seed=0, samples=args.batch_size)
        model.eval()
        for who in responses.names:
            bank = ResponseBank(f'{bank_root}/{name}/{who}', identity)
            bank.create()
            bank.write(0, 0, iter([model.current_responses(who, model.name_views(inputs))]))
            responses.banks[who] = bank
        model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3,
                                momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        loss, _ = model.parse_losses(model(inputs, samples, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device == 'cuda':
            torch.cuda.synchronize()

    return step


def own_peak_memory() -> float:
    """Peak of this process in MiB: of the GPU's allocator where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    # Not getrusage: Linux lets a child start with its parent's peak.
    with open('/proc/self/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmHWM')) / 2**10


def peak_memory(name: str, args: argparse.Namespace) -> float:
    """Peak memory of two steps in MiB, in a fresh process."""
    argv = [sys.executable, __file__, *sys.argv[1:], '--only', name]
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return json.loads(out.splitlines()[-1])['peak_mib']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--depth', type=int, default=50, help='of the ResNet')
    parser.add_argument('--size', type=int, default=112, help='pixels of a view')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--queue-len', type=int, default=65536)
    parser.add_argument('--feat-dim', type=int, default=128)
    parser.add_argument('--rounds', type=int, default=9, help='counted steps of every model')
    parser.add_argument('--check', action='store_true', help='exit 1 where a bound is not kept')
    parser.add_argument('--models', nargs='+', metavar='NAME', help='time these alone, e.g. '
                        '"multi-task M+D"; what they are compared with is added')
    parser.add_argument('--out', help='JSON file for the results')
    parser.add_argument('--only', help=argparse.SUPPRESS)
    args = parser.parse_args()
    MMLogger.get_instance('step_time', log_level='ERROR')
    init_default_scope('mmpretrain')

    with tempfile.TemporaryDirectory() as bank_root:
        if args.only:
            step = build(args.only, args, bank_root)
            for _ in range(2):
                step()
            print(json.dumps(dict(peak_mib=own_peak_memory())))
            return
        rows = [row for row in RATIOS if not args.models or row[0] in args.models]
        wanted = {part for row in rows for name in row[:2] for part in name.split(' + ')}
        steps = {name: build(name, args, bank_root) for name in configs(args) if name in wanted}
        times: Dict[str, List[float]] = {name: [] for name in steps}
        for i in track(range(args.rounds + 1), 'interleaved steps', console=Console(stderr=True)):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                if i:  # the first round warms up
                    times[name].append(time.perf_counter() - start)
        del steps
    times[APART] = [a + b for a, b in zip(times.get('MoCo v2', []), times.get('DenseCL', []))]

    memory = {name: peak_memory(name, args) for name in ('mmpretrain.DenseCL', 'DenseCL')}
    table = Table('model', 'against', 'ratio', 'bound', title=(
        f'ResNet-{args.depth}, {args.batch_size} x {args.size} px, queue {args.queue_len} x '
        f'{args.feat_dim}, median of {args.rounds}'))
    ratios, failed = {}, []
    for name, other, bound in rows:
        ratio = statistics.median(a / b for a, b in zip(times[name], times[other]))
        ratios[f'{name} / {other}'] = ratio
        table.add_row(name, other, f'{ratio:.3f}', f'{bound:.2f}' if bound else '-')
        if bound and ratio > bound:
            failed.append(f'{name} takes {ratio:.3f} x {other}, more than {bound}')
    Console().print(table)
    print(f'peak memory of a DenseCL step: {memory["DenseCL"]:.0f} MiB here, '
          f'{memory["mmpretrain.DenseCL"]:.0f} MiB in MMPretrain')
    if memory['DenseCL'] >= memory['mmpretrain.DenseCL']:
        failed.append('a DenseCL step takes more memory than MMPretrain\'s')
    if args.out:
        with open(args.out, 'w') as f:
            json.dump(dict(args=vars(args), ratios=ratios, seconds=times, peak_mib=memory), f)
    if args.check and failed:
        sys.exit('\n'.join(failed))


if __name__ == '__main__':
    main()
