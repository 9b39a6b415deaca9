"""Linear SVMs on frozen features, VOC2007 classification: the protocol of the paper's Table 4.

    python tools/benchmarks/voc07_svm.py configs/mocov2.py work_dirs/mocov2/final.pth
    torchrun --nproc_per_node 8 tools/benchmarks/voc07_svm.py CONFIG CHECKPOINT

Several processes share the features; the SVMs are fitted on the cores of the first one's machine.
Of a ResNet-50 on ImageNet expect an mAP of 84.0 for MoCo v2 and 82.5 for DenseCL (MMSelfSup).
"""
import argparse

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.evaluation.voc07 import (
    COSTS,
    LAYERS,
    LOW_SHOTS,
    SOLVERS,
    join_processes,
    run_voc07_svm,
)
from multissl_mm.utils.cli import positive, run_tool
from multissl_mm.utils.permissions import ALLOW_OUTSIDE, TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config', help='a file, or mmpretrain::folder/name.py')
    add('checkpoint', help="file or URL; 'random' for random weights")
    add('--data-root', default='data/VOCdevkit/VOC2007', help='(default: %(default)s)')
    add('--layer', choices=list(LAYERS), default='feat5', help='1 is the stem, 5 the last stage')
    add('--image-size', type=positive, default=224, metavar='PX')
    add('--prefix', default='backbone.', help="of the backbone's keys in the checkpoint")
    add('--costs', type=float, nargs='+', default=COSTS, metavar='C',
        help="try these instead of the protocol's 19")
    add('--solver', choices=SOLVERS, default='liblinear', help='gram: all fits together, on '
        '--device: the same optimum, many times as fast (not for --low-shot)')
    add('--low-shot', type=int, nargs='*', metavar='K', default=(), help='learn from K positives '
        f'per class, too (without a number: {" ".join(map(str, LOW_SHOTS))})')
    add('--low-shot-samples', type=int, default=5, metavar='N')
    add('--batch-size', type=positive, default=32, metavar='N')
    add('--workers', type=int, default=2, help='that load images, per process')
    add('--device', default='auto', help='for the backbone and --solver gram (default: '
        'GPU if any)')
    add('--jobs', type=int, default=-1, help='processes that fit, about 1.5 GB each '
        '(default: one per core)')
    add('--seed', type=int, default=0)
    add('--out', help='default: work_dirs/voc07_svm/<config>/<checkpoint>_<digest>_'
        '<layer>.json; of other data, seed and the like than by default, with a digest')
    add('--launcher', choices=['none', 'pytorch'], help='default: pytorch under torchrun')
    add_permissions(parser, ALLOW_OUTSIDE, TRUST_CHECKPOINT)
    add('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    args.pop('traceback')
    args['low_shot'] = LOW_SHOTS if args['low_shot'] == [] else args['low_shot']
    join_processes(args.pop('launcher'))
    run_voc07_svm(**args)


if __name__ == '__main__':
    run_tool(main)
