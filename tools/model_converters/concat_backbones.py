"""Puts several backbones into one checkpoint for a ConcatBackbone (section 4.1).

    python tools/model_converters/concat_backbones.py CONFIG OUT CHECKPOINT CHECKPOINT ...

CONFIG has a ``model.backbone`` of type multissl_mm.ConcatBackbone; its encoders are filled in the
order of the checkpoints, each with no missing and no unexpected key, or nothing is written. In OUT
the keys start with ``backbone.`` as in every checkpoint of this project.
"""
import argparse

import multissl_mm
from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.voc07_svm import build_backbone
from multissl_mm.models.backbones import ConcatBackbone
from multissl_mm.runtime import load_config
from multissl_mm.utils.checkpoint import save_atomically
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='with a ConcatBackbone')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument('checkpoints', nargs='+', help='one per encoder')
    parser.add_argument('--prefix', default='backbone.', help="of the backbones' keys in them")
    parser.add_argument('--traceback', action='store_true')
    args = parser.parse_args()

    cfg = load_config(args.config)
    backbone = build_backbone(cfg, 'random')
    if not isinstance(backbone, ConcatBackbone):
        raise MultiSSLError(f'{args.config}: model.backbone is a {type(backbone).__name__}, not a '
                            'multissl_mm.ConcatBackbone')
    encoders = cfg.model.backbone.encoders
    if len(encoders) != len(args.checkpoints):
        raise MultiSSLError(f'{args.config} has {len(encoders)} encoders, but '
                            f'{len(args.checkpoints)} checkpoints are given')
    for k, (encoder, path) in enumerate(zip(encoders, args.checkpoints)):
        one = cfg.copy()
        one.model = dict(backbone=encoder)
        filled = build_backbone(one, path, args.prefix)
        backbone.frozen.encoders[k].load_state_dict(filled.state_dict())
    save_atomically(
        dict(state_dict={f'backbone.{k}': v for k, v in backbone.state_dict().items()},
             meta=dict(multissl_mm_version=multissl_mm.__version__, encoders=args.checkpoints)),
        args.out)
    print(f'wrote {args.out}: {len(encoders)} encoders, no key missing and none unexpected')


if __name__ == '__main__':
    run_tool(main)
