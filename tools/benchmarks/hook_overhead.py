"""What the hooks of configs/_base_/watch.py cost, as a share of training time.

    python tools/benchmarks/hook_overhead.py --check

Each round makes, in turn, a training step of multi-task M+D, the same step with the look of
GradientHook, and the looks of ForgettingHook and KNNHook at one batch, so that a machine whose
speed drifts slows all of them; ratios are taken within a round, and their median over the rounds
counts. Intervals and numbers of samples are those of the config. A look once in so many epochs is
set against full-size epochs: 5,005 steps of 256 pictures (ImageNet-1k), at the speed per picture
that is measured here. The steps get their pictures from memory, so this is a run that waits for
the backbone; for one that waits for its pictures, the share of pictures that the looks load counts.
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Dict, List

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from rich.console import Console
from rich.progress import track
from rich.table import Table

import multissl_mm  # noqa: F401
from multissl_mm.engine.hooks.forgetting import heldout_losses
from multissl_mm.engine.hooks.gradient import GradientHook, compare
from multissl_mm.engine.hooks.knn import accuracy, features

WATCH = Path(__file__).parents[2] / 'configs/_base_/watch.py'
EPOCH = 5005 * 256  # pictures of a full-size epoch
BOUND = 0.02
QUERIES = 64  # of a measured search in the full bank


def build(args: argparse.Namespace, hooks: Dict[str, dict]) -> Dict[str, Callable[[], None]]:
    """What is timed, by name: each takes as many pictures as a step."""
    torch.manual_seed(0)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    width = 2048 if args.depth >= 50 else 512
    tasks = [
        dict(name=name, type=f'multissl_mm.{kind}Task', feat_dim=128, queue_len=args.queue_len,
             neck=dict(type=f'mmpretrain.{kind}Neck', in_channels=width, hid_channels=2048,
                       out_channels=128))
        for name, kind in (('mocov2', 'MoCoV2'), ('densecl', 'DenseCL'))
    ]
    backbone = dict(type='mmpretrain.ResNet', depth=args.depth, norm_cfg=dict(type='BN'))
    model = MODELS.build(dict(type='multissl_mm.MultiTask', backbone=backbone, tasks=tasks))
    model = model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    n = args.batch_size
    inputs = list(torch.randn(2, n, 3, args.size, args.size, device=device))
    half = n // 2
    heldout = [dict(inputs=[x[i:i + half] for x in inputs], data_samples=None) for i in (0, half)]
    label = torch.zeros((), dtype=torch.long)
    labelled = [dict(inputs=inputs[0], data_samples=[SimpleNamespace(gt_label=label)] * n)]
    hook = GradientHook(hooks['GradientHook']['interval'])

    def step() -> None:
        losses = model(inputs, mode='loss').losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    def looked() -> None:
        model.on_outputs = lambda losses: hook._look(model.backbone, 1., losses)
        step()
        model.on_outputs = None
        compare(*hook._found)

    bank = torch.nn.functional.normalize(
        torch.randn(hooks['KNNHook']['max_bank'] // get_world_size(), width, device=device))
    labels = torch.randint(1000, (len(bank), ), device=device)
    timed = {
        'step': step,
        'GradientHook': looked,
        'ForgettingHook': lambda: heldout_losses(model, heldout, list(model.tasks), half),
        'KNNHook': lambda: features(model, labelled),
        'search': lambda: accuracy(bank, labels, bank[:QUERIES], labels[:QUERIES], 20, .07)
    }

    def synchronised(function: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            function()
            if device == 'cuda':
                torch.cuda.synchronize()
        return run

    return {name: synchronised(function) for name, function in timed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--depth', type=int, default=50, help='of the ResNet')
    parser.add_argument('--size', type=int, default=112, help='pixels of a view')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--queue-len', type=int, default=65536)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--check', action='store_true',
                        help=f'exit 1 where the sum is {BOUND:.0%} or more')
    parser.add_argument('--out', help='JSON file for the results')
    args = parser.parse_args()
    MMLogger.get_instance('hook_overhead', log_level='ERROR')
    init_default_scope('mmpretrain')
    hooks = {hook['type'].rpartition('.')[2]: hook
             for hook in Config.fromfile(WATCH).custom_hooks}

    timed = build(args, hooks)
    seconds: Dict[str, List[float]] = {name: [] for name in timed}
    for i in track(range(args.rounds + 1), 'interleaved', console=Console(stderr=True)):
        for name, function in timed.items():
            start = time.perf_counter()
            function()
            if i:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)

    def ratio(name: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[name], seconds['step']))

    gradient, forgetting, knn = (hooks[f'{name}Hook'] for name in ('Gradient', 'Forgetting', 'KNN'))
    pictures = knn['max_bank'] + knn['max_queries']
    # In pictures' worth of training: what a look costs at the speed of a training step.
    per_look = {
        'GradientHook': (ratio('GradientHook') - 1) * 256,
        'ForgettingHook': ratio('ForgettingHook') * forgetting['max_samples'],
        'KNNHook': (ratio('KNNHook') * pictures +
                    ratio('search') * args.batch_size * knn['max_queries'] / QUERIES),
    }
    between = {'GradientHook': gradient['interval'] * 256,
               'ForgettingHook': forgetting['interval'] * EPOCH,
               'KNNHook': knn['interval'] * EPOCH}
    loaded = {'GradientHook': 0, 'ForgettingHook': forgetting['max_samples'], 'KNNHook': pictures}
    table = Table('hook', 'every', 'a look takes as long as', 'share of the time',
                  'share of the pictures', title=(
                      f'multi-task M+D, ResNet-{args.depth}, {args.batch_size} x {args.size} px, '
                      f'queue {args.queue_len}, median of {args.rounds}'))
    shares = {name: per_look[name] / between[name] for name in hooks}
    for name, share in shares.items():
        unit = 'steps' if name == 'GradientHook' else 'epochs'
        table.add_row(name, f'{hooks[name]["interval"]} {unit}',
                      f'{per_look[name] / 256:.2f} steps of 256', f'{share:.3%}',
                      f'{loaded[name] / between[name]:.3%}')
    total = sum(shares.values())
    table.add_row('sum', '', '', f'{total:.3%}',
                  f'{sum(loaded[name] / between[name] for name in hooks):.3%}', style='bold')
    Console().print(table)
    step = statistics.median(seconds['step'])
    print(f'a step of {args.batch_size} took {step:.3f} s; epochs of {EPOCH // 256} steps of 256; '
          'the losses of tasks need no hook')
    if args.out:
        with open(args.out, 'w') as f:
            json.dump(dict(args=vars(args), shares=shares, total=total, seconds=seconds), f)
    if args.check and total >= BOUND:
        sys.exit(f'the hooks take {total:.2%} of the time, not less than {BOUND:.0%}')


if __name__ == '__main__':
    main()
