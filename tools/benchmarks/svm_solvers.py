"""CPU time of the VOC07 SVMs by liblinear, one after another, and on the Gram matrix they share.

    OMP_NUM_THREADS=1 python tools/benchmarks/svm_solvers.py

At the size of VOC2007 with feat5 of a ResNet-50, on features that are made for this, in turn. In
every round liblinear fits --sample of the classes; what it takes for all is that in proportion.
"""
import argparse
from pathlib import Path

from multissl_mm.benchmarks.svm import Problem, measure_svm
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in Problem()._asdict().items():
        parser.add_argument(f'--{name}', type=int, default=value, help='(default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=3, help='(default: %(default)s)')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    args.pop('traceback')
    out, rounds = args.pop('out'), args.pop('rounds')
    measure_svm(Problem(**args), rounds=rounds, out=out)


if __name__ == '__main__':
    run_tool(main)
