"""Time of a training step, as ratios to MMPretrain's algorithms and to tasks trained apart.

    python tools/benchmarks/step_time.py

All models get the same backbone, the same batch and the same optimizer, in one process; each round
runs one step of every model in turn, so that a machine whose speed drifts slows all of them. What
is printed is the median over rounds of the ratio within a round, and pictures per second beside
what no method of two views exceeds: 3/4 of a classifier's. Peak memory is measured in a process
per model (on a GPU: of the allocator).
"""
import argparse
from pathlib import Path

from multissl_mm.benchmarks.models import Sizes
from multissl_mm.benchmarks.step_time import measure_step_time
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--depth', type=int, default=50, help='of the ResNet')
    parser.add_argument('--size', type=int, default=112, help='pixels of a view')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--queue-len', type=int, default=65536)
    parser.add_argument('--feat-dim', type=int, default=128)
    parser.add_argument('--rounds', type=int, default=9, help='counted steps of every model')
    parser.add_argument('--check', action='store_true', help='exit 1 where a bound is not kept')
    parser.add_argument('--models', nargs='+', metavar='NAME', help='time these alone, e.g. '
                        '"multi-task M+D"; what they are compared with is added')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='default: a GPU if there is one')
    parser.add_argument('--amp', action='store_true', help='in mixed precision (bfloat16)')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    found = measure_step_time(
        Sizes(args.depth, args.size, args.batch_size, args.queue_len, args.feat_dim),
        args.rounds, args.models, args.out, on=args.device, amp=args.amp)
    if args.check and found.failed:
        raise SystemExit('\n'.join(found.failed))


if __name__ == '__main__':
    run_tool(main)
