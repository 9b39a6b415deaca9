"""Trains any config of this project, of mmpretrain or of mmdet.

    python tools/train.py configs/il_mocov2_densecl.py
    python tools/train.py mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py --work-dir work_dirs/x

On several GPUs or processes: tools/dist_train.sh and tools/slurm_train.sh.
"""
import argparse

from multissl_mm.runtime import parse_options, train
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a file, or mmdet::folder/name.py')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='go on from a checkpoint; without a name from the newest of the work '
                        'dir, if there is one')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate by the batch size, accumulation included')
    parser.add_argument('--large-batch', action='store_true', help='fit rate, warm-up, optimizer, '
                        'momentum encoder and queues to the batch of many GPUs')
    parser.add_argument('--no-validate', action='store_true', help='never run the val loop')
    parser.add_argument('--accept-changes', action='store_true', help='resume with another config, '
                        'data or number of processes than the checkpoint was written with')
    parser.add_argument('--overwrite', action='store_true',
                        help='start a new run in a work dir that has checkpoints')
    train(parse_options(parser))


if __name__ == '__main__':
    run_tool(main)
