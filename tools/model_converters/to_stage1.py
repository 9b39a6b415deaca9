"""Turns a checkpoint of another code base into a finished stage 1.

    python tools/model_converters/to_stage1.py configs/il_mocov2_densecl_from_stage1.py \\
        moco_v2_200ep_pretrain.pth.tar work_dirs/stage1.pth
    python tools/train.py configs/il_mocov2_densecl_from_stage1.py \\
        --cfg-options load_from=work_dirs/stage1.pth

Reads the layouts of mmpretrain, mmselfsup, the official MoCo v2 and the official DenseCL; where the
first task is an algorithm of MMPretrain, a checkpoint of that algorithm. Anything that does not fit
the first task of the config, key by key, is refused.
"""
import argparse

from multissl_mm.converters import LAYOUTS, convert_to_stage1
from multissl_mm.runtime import add_cfg_options
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.logs import warnings_alone
from multissl_mm.utils.permissions import TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='of the run that is to start at stage 2')
    parser.add_argument('source', help='checkpoint to convert')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument('--format', choices=['auto', *LAYOUTS], default='auto')
    parser.add_argument('--seed', type=int, default=0, help='of the layers of later stages')
    add_cfg_options(parser)
    add_permissions(parser, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    with warnings_alone():
        stage1 = convert_to_stage1(args.config, args.source, args.out,
                                   None if args.format == 'auto' else args.format, args.seed,
                                   args.cfg_options)
    print(f'{args.source} (layout {stage1.layout}) as task {stage1.task}:', *stage1.parts,
          sep='\n  ')
    print(f'wrote {args.out}: all keys of {args.config}, stage 1')


if __name__ == '__main__':
    run_tool(main)
