"""Writes the backbone of a checkpoint for mmdet and mmpretrain.

    python tools/model_converters/export_backbone.py work_dirs/il/epoch_400.pth backbone.pth

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
import logging

from mmengine.registry import init_default_scope

import multissl_mm
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import load_config
from multissl_mm.utils.checkpoint import (
    backbone_state_dict,
    load_state_dict_file,
    save_atomically,
    some,
)
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.convert import infer_resnet, verify_backbone


def parse_args() -> argparse.Namespace:
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
    parser.add_argument('--traceback', action='store_true')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    logging.disable(logging.INFO)  # MMEngine's lines on every parameter and file
    path = args.checkpoint
    state_dict = backbone_state_dict(load_state_dict_file(path), args.prefix, path)
    dropped = [k for k in state_dict if k.startswith(tuple(args.drop))]
    state_dict = {args.add + k: v for k, v in state_dict.items() if k not in dropped}
    shape = infer_resnet(state_dict)
    if args.config:
        cfg = load_config(args.config)
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        verify_backbone(state_dict, cfg.model.backbone)
        fits = args.config
    elif shape is None:
        raise MultiSSLError(f'{path}: the keys are of no ResNet (18, 34, 50, 101, 152) that mmdet '
                            'and mmpretrain share; name a config with its backbone by --config')
    else:
        for package in ('mmdet', 'mmpretrain'):
            init_default_scope(package)
            verify_backbone(state_dict, dict(type=f'{package}.ResNet', **shape._asdict()))
        fits = f'the ResNet-{shape.depth} of mmdet and of mmpretrain'
    save_atomically(
        dict(state_dict={f'backbone.{k}': v for k, v in state_dict.items()},
             meta=dict(multissl_mm_version=multissl_mm.__version__, fits=fits)), args.out)
    print(f'wrote {args.out}: {len(state_dict)} keys, none missing and none unexpected in {fits}')
    if dropped:
        print(f'left out: {some(dropped)}')


if __name__ == '__main__':
    run_tool(main)
