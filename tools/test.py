"""Tests a checkpoint with any config of this project, of mmpretrain or of mmdet.

    python tools/test.py mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py CHECKPOINT

On several GPUs or processes: tools/dist_test.sh and tools/slurm_test.sh.
"""
import argparse

from multissl_mm.runtime import parse_options, test
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a file, or mmdet::folder/name.py')
    parser.add_argument('checkpoint', help='of the whole model')
    test(parse_options(parser))


if __name__ == '__main__':
    run_tool(main)
