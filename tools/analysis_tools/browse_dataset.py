"""Draws what a model is given of some samples: views, masks, flows, spectrograms, as one picture.

    python tools/analysis_tools/browse_dataset.py configs/mocov2.py --out views.png
    python tools/analysis_tools/browse_dataset.py configs/sound/b.py --split train --first 100

A row is a sample: first the file as it is, then all that the config's data preprocessor puts out.
"""
import argparse
from pathlib import Path

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.analysis import browse_dataset
from multissl_mm.runtime import add_cfg_options, apply_options, load_config
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.permissions import ALLOW_OUTSIDE, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a file, or mmdet::folder/name.py')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--count', type=int, default=4, help='samples (default: %(default)s)')
    parser.add_argument('--first', type=int, default=0, help='number of the first one')
    parser.add_argument('--epoch', type=int, default=0, help='whose views, from 0')
    parser.add_argument('--out', type=Path, default='outputs/browse.png', help='picture '
                        '(default: %(default)s)')
    add_cfg_options(parser)
    add_permissions(parser, ALLOW_OUTSIDE)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    cfg = load_config(args.config)
    apply_options(cfg, args.cfg_options)
    print(browse_dataset(cfg, args.out, args.split, args.count, args.first, args.epoch))


if __name__ == '__main__':
    run_tool(main)
