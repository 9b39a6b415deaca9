"""Tests a checkpoint with any config of this project, of mmpretrain or of mmdet.

    python tools/test.py mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py CHECKPOINT

On several GPUs or processes: tools/dist_test.sh and tools/slurm_test.sh.
"""
import argparse

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import add_arguments, build_runner, load_config, prepare_cfg
from multissl_mm.utils.cli import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a file, or mmdet::folder/name.py')
    parser.add_argument('checkpoint', help='of the whole model')
    add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config)
    if not cfg.get('test_cfg') or not cfg.get('test_dataloader'):
        raise MultiSSLError(f'{args.config} has no test_dataloader: it is a pretraining config? '
                            'See configs/benchmarks for what can be tested')
    cfg = prepare_cfg(cfg, args)
    build_runner(cfg, args).test()


if __name__ == '__main__':
    run_tool(main)
