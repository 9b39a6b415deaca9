"""Are the simulated pictures too easy? Compares raw pixels with a network that learns to see.

    python tools/analysis_tools/demo_data_difficulty.py

If a linear SVM on raw 32x32 pixels were nearly as good as a supervised ResNet-18, the data could
not tell good features from bad ones. The exit status is 1 if the mean AP (mAP) of the ResNet-18 is
not at least --gap points above that of the SVM.
"""
import argparse
from pathlib import Path

import torch

from multissl_mm.analysis.difficulty import measure_difficulty
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.pool import cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, nargs='?', default=Path('data/demo_difficulty'),
                        help='folder for the pictures; reused if they are there')
    parser.add_argument('--count', type=int, default=4000, help='pictures; half are for testing')
    parser.add_argument('--epochs', type=int, default=5)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--gap', type=float, default=15., help='mAP points')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=cores())
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    gap = measure_difficulty(args.out, args.count, args.epochs, args.batch_size, args.lr,
                             args.seed, args.workers, args.device).gap
    print(f'the ResNet-18 is {gap:.1f} mAP points above raw pixels, '
          f'{"at least" if gap >= args.gap else "less than"} the {args.gap:g} asked for')
    raise SystemExit(gap < args.gap)


if __name__ == '__main__':
    run_tool(main)
