"""Linear segmentation: one linear layer on the frozen last map, average precision per cell.

    python tools/benchmarks/linear_segmentation.py configs/mocov2.py work_dirs/mocov2/final.pth
    torchrun --nproc_per_node 8 tools/benchmarks/linear_segmentation.py CONFIG CHECKPOINT

Any data in COCO's layout with instance masks. The first split is for fitting, the second one for
the number. Several processes share the features; the first one fits.
"""
import argparse

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.evaluation.linear_segmentation import PENALTIES, run_linear_segmentation
from multissl_mm.evaluation.voc07 import join_processes
from multissl_mm.utils.cli import positive, run_tool
from multissl_mm.utils.permissions import ALLOW_OUTSIDE, TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='a file, or mmpretrain::folder/name.py')
    add('checkpoint', help="file or URL; 'random' for random weights")
    add('--data-root', default='data/coco', help='(default: %(default)s)')
    add('--train', default='train2017', metavar='SPLIT', help='for fitting (default: %(default)s)')
    add('--held-out', default='val2017', metavar='SPLIT', help='(default: %(default)s)')
    add('--train-pictures', type=int, default=5000, metavar='N',
        help='fit on at most so many (default: %(default)s)')
    add('--image-size', type=positive, default=224, metavar='PX')
    add('--prefix', default='backbone.', help="of the backbone's keys in the checkpoint")
    add('--penalties', type=float, nargs='+', default=PENALTIES, metavar='L2',
        help='on the weights, one is taken by cross-validation (default: %(default)s)')
    add('--batch-size', type=positive, default=32, metavar='N')
    add('--workers', type=int, default=2, help='that load images, per process')
    add('--device', default='auto', help='for backbone and fit (default: GPU if any)')
    add('--seed', type=int, default=0, help='of random weights')
    add('--out', help='default: work_dirs/linear_segmentation/<config>/<checkpoint>_<digest>.json; '
        'of other data, seed and the like than by default, with a digest')
    add('--launcher', choices=['none', 'pytorch'], help='default: pytorch under torchrun')
    add_permissions(parser, ALLOW_OUTSIDE, TRUST_CHECKPOINT)
    add('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    args.pop('traceback')
    join_processes(args.pop('launcher'))
    run_linear_segmentation(**args)


if __name__ == '__main__':
    run_tool(main)
