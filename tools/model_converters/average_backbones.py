"""Averages the weights of several backbones, as those of the stages of a run (not in the paper).

    python tools/model_converters/average_backbones.py CONFIG OUT CHECKPOINT CHECKPOINT ...

CONFIG is what they were trained with; the statistics of batch norm are measured on its pictures. In
OUT the keys start with ``backbone.`` as in every checkpoint of this project.
"""
import argparse

from multissl_mm.converters import average_backbones
from multissl_mm.runtime import add_cfg_options
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.logs import warnings_alone
from multissl_mm.utils.permissions import TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='that they were trained with')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument('checkpoints', nargs='+', help='one per backbone')
    parser.add_argument('--prefix', default='backbone.', help="of the backbones' keys in them")
    parser.add_argument('--batches', type=int, default=32, help='for batch norm (default: 32)')
    add_cfg_options(parser)
    add_permissions(parser, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    with warnings_alone():
        average_backbones(args.config, args.out, args.checkpoints, args.prefix, args.batches,
                          args.cfg_options)
    print(f'wrote {args.out}: the mean of {len(args.checkpoints)} backbones')


if __name__ == '__main__':
    run_tool(main)
