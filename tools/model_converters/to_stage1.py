"""Turns a MoCo v2 or DenseCL checkpoint of another code base into a finished stage 1.

    python tools/model_converters/to_stage1.py configs/il_mocov2_densecl_from_stage1.py \\
        moco_v2_200ep_pretrain.pth.tar work_dirs/stage1.pth
    python tools/train.py configs/il_mocov2_densecl_from_stage1.py \\
        --cfg-options load_from=work_dirs/stage1.pth

Reads the layouts of mmpretrain, mmselfsup, the official MoCo v2 and the official DenseCL. Anything
that does not fit the first task of the config, key by key, is refused.
"""
import argparse
import logging

from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed

import multissl_mm
from multissl_mm.registry import MODELS
from multissl_mm.runtime import load_config
from multissl_mm.utils.checkpoint import load_state_dict_file, save_atomically
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.convert import LAYOUTS, guess_layout, split_parts, to_stage1


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='of the run that is to start at stage 2')
    parser.add_argument('source', help='checkpoint to convert')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument('--format', choices=['auto', *LAYOUTS], default='auto')
    parser.add_argument('--seed', type=int, default=0, help='of the layers of later stages')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    parser.add_argument('--traceback', action='store_true')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    logging.disable(logging.INFO)  # MMEngine's lines on every parameter and file
    source = load_state_dict_file(args.source)
    layout = guess_layout(source) if args.format == 'auto' else args.format
    parts = split_parts(source, layout)
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    set_random_seed(args.seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    task, said = to_stage1(model, parts)
    save_atomically(
        dict(state_dict=model.state_dict(),
             meta=dict(multissl_mm_version=multissl_mm.__version__, task=task, layout=layout)),
        args.out)
    print(f'{args.source} (layout {layout}) as task {task}:', *said, sep='\n  ')
    print(f'wrote {args.out}: all {len(model.state_dict())} keys of {args.config}, stage 1')


if __name__ == '__main__':
    run_tool(main)
