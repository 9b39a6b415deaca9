"""What the hooks of configs/_base_/watch.py cost, as a share of training time.

    python tools/benchmarks/hook_overhead.py --check

Each round makes, in turn, a training step of multi-task M+D, the same step with the look of
GradientHook, and the looks of ForgettingHook and KNNHook at one batch; ratios are taken within a
round, and their median over the rounds counts. Intervals and numbers of samples are those of the
config; a look once in so many epochs is set against epochs of ImageNet-1k.
"""
import argparse
from pathlib import Path

from multissl_mm.benchmarks.hook_overhead import BOUND, measure_hook_overhead
from multissl_mm.benchmarks.models import Sizes
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--depth', type=int, default=50, help='of the ResNet')
    parser.add_argument('--size', type=int, default=112, help='pixels of a view')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--queue-len', type=int, default=65536)
    parser.add_argument('--rounds', type=int, default=7, help='that count')
    parser.add_argument('--check', action='store_true',
                        help='exit 1 where the sum is 2 %% or more')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    found = measure_hook_overhead(Sizes(args.depth, args.size, args.batch_size, args.queue_len),
                                  args.rounds, out=args.out)
    if args.check and found.total >= BOUND:
        raise SystemExit(f'the hooks take {found.total:.2%} of the time, not less than {BOUND:.0%}')


if __name__ == '__main__':
    run_tool(main)
