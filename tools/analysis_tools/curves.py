"""Curves of a run: losses by task, learning rate, and whatever hooks have logged.

    python tools/analysis_tools/curves.py work_dirs/il_mocov2_densecl

Reads vis_data/scalars.json of every start of the run: where a resumed run repeats steps, its
values count. Stages of an incremental run are shaded.
"""
import argparse
from pathlib import Path

from multissl_mm.analysis import draw_curves
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dir', help='of a run of tools/train.py')
    parser.add_argument('--out', type=Path, help='picture (default: WORK_DIR/curves.png)')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    print(f'wrote {draw_curves(args.work_dir, args.out)}')


if __name__ == '__main__':
    run_tool(main)
