"""The main job in small, end to end: ``make demo``.

Writes the demo data, pretrains MoCo v2 -> DenseCL incrementally, DenseCL alone, and both at once
for as long, evaluates them and random initialisation with the VOC07 SVM protocol and linear
segmentation (IL and random also with Mask R-CNN), and prints a table and a picture of the trade-off
(the paper's Figure 1b). Every step is a command of this project, printed as one would type it. What
is finished is not done again: remove work_dirs/demo and work_dirs/runs to start over.
"""
import argparse
from pathlib import Path

from multissl_mm.reproduce import run_demo
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'),
                        help='folder of the run (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='the table is over all seeds in there')
    parser.add_argument('--jobs', type=int, metavar='N', help='commands that run at once (default: '
                        '2 where there are two cores)')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    args.pop('traceback')
    run_demo(**args)


if __name__ == '__main__':
    run_tool(main)
