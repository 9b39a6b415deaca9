r"""Writes the backbone of a checkpoint for mmdet and mmpretrain.

    python tools/model_converters/export_backbone.py work_dirs/il/final.pth backbone.pth

Then, anywhere: backbone=dict(type='ResNet', depth=50, ...,
    init_cfg=dict(type='Pretrained', checkpoint='backbone.pth', prefix='backbone.'))

The ResNet that it is of is read from the keys, and both packages' ResNet must take it with no
missing and no unexpected key; anything else is refused, and nothing is written. With --config the
keys must fit the backbone of that config instead, whatever it is. Checkpoints of others (DetCo in
Table 4) go in by what their keys start with:

    export_backbone.py MOCO_LIKE.pth backbone.pth --prefix encoder_q. --drop fc.
    export_backbone.py TORCHVISION_LIKE.pth backbone.pth --prefix "" --drop fc.
    export_backbone.py AUDIOSET.pth backbone.pth --prefix "" --drop fc. --add ear. \
        --config configs/sound/supervised.py
"""
import argparse

from multissl_mm.converters import export_backbone
from multissl_mm.utils.checkpoint import some
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.logs import warnings_alone
from multissl_mm.utils.permissions import TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument('--prefix', default='backbone.', help='of its keys in the checkpoint')
    parser.add_argument('--drop', nargs='+', default=[], metavar='KEYS', help='leave out what '
                        'starts like this after the prefix')
    parser.add_argument('--add', default='', metavar='PREFIX', help='put this before what is left, '
                        'e.g. ear. for one ear of a BinauralEncoder')
    parser.add_argument('--config', help='fit model.backbone of this config instead')
    add_permissions(parser, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    with warnings_alone():
        exported = export_backbone(args.checkpoint, args.out, args.prefix, args.drop, args.add,
                                   args.config)
    print(f'wrote {args.out}: {len(exported.keys)} keys, none missing and none unexpected in '
          f'{exported.fits}')
    if exported.dropped:
        print(f'left out: {some(exported.dropped)}')


if __name__ == '__main__':
    run_tool(main)
