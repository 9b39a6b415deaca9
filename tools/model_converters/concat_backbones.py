"""Puts several backbones into one checkpoint for a ConcatBackbone (section 4.1).

    python tools/model_converters/concat_backbones.py CONFIG OUT CHECKPOINT CHECKPOINT ...

CONFIG has a ``model.backbone`` of type multissl_mm.ConcatBackbone; its encoders are filled in the
order of the checkpoints, each with no missing and no unexpected key, or nothing is written. In OUT
the keys start with ``backbone.`` as in every checkpoint of this project.
"""
import argparse

from multissl_mm.converters import concat_backbones
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.logs import warnings_alone
from multissl_mm.utils.permissions import TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='with a ConcatBackbone')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument('checkpoints', nargs='+', help='one per encoder')
    parser.add_argument('--prefix', default='backbone.', help="of the backbones' keys in them")
    add_permissions(parser, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    with warnings_alone():
        concat_backbones(args.config, args.out, args.checkpoints, args.prefix)
    print(f'wrote {args.out}: {len(args.checkpoints)} encoders, no key missing and none unexpected')


if __name__ == '__main__':
    run_tool(main)
