"""CPU time per picture: MMPretrain's pipeline, and views that are finished in batches.

    python tools/benchmarks/loader.py
    python tools/benchmarks/loader.py configs/mocov2.py --pictures photographs/*.jpg

Time that this process spends on all cores, so that other work on the machine matters little.
"without the device" is what is left to the loader's workers where a GPU finishes the views.
"""
import argparse
from pathlib import Path

from multissl_mm.benchmarks.loader import measure_loader
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default='configs/_base_/imagenet_two_views.py',
                        help='with CropViews in its pipeline (default: %(default)s)')
    parser.add_argument('--pictures', nargs='+', default=(), help='files (default: --count JPEGs '
                        'of 500 x 375 that are made for this)')
    parser.add_argument('--count', type=int, default=64)
    parser.add_argument('--rounds', type=int, default=7, help='that count')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    measure_loader(args.config, args.pictures, args.count, args.rounds, args.out)


if __name__ == '__main__':
    run_tool(main)
