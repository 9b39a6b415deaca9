"""Linear SVMs on frozen features, VOC2007 classification: the protocol of the paper's Table 4.

    python tools/benchmarks/voc07_svm.py configs/mocov2.py work_dirs/mocov2/final.pth
    torchrun --nproc_per_node 8 tools/benchmarks/voc07_svm.py CONFIG CHECKPOINT

Several processes share the features; the SVMs are fitted on the cores of the first one's machine.
Of a ResNet-50 on ImageNet expect an mAP of 84.0 for MoCo v2 and 82.5 for DenseCL (MMSelfSup).
"""
import argparse
import os

import torch.distributed

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.voc07_svm import COSTS, LAYERS, LOW_SHOTS, run_voc07_svm
from multissl_mm.utils.cli import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a file, or mmpretrain::folder/name.py')
    parser.add_argument('checkpoint', help="file or URL; 'random' for random weights")
    parser.add_argument('--data-root', default='data/VOCdevkit/VOC2007', help='folder VOC2007 '
                        '(default: %(default)s)')
    parser.add_argument('--layer', choices=list(LAYERS), default='feat5',
                        help='1 is the stem, 5 the last stage (default: %(default)s)')
    parser.add_argument('--image-size', type=int, default=224, metavar='PX')
    parser.add_argument('--prefix', default='backbone.', help="of the backbone's keys in the "
                        'checkpoint (default: %(default)s)')
    parser.add_argument('--costs', type=float, nargs='+', default=COSTS, metavar='C',
                        help="try these instead of the protocol's 19")
    parser.add_argument('--low-shot', type=int, nargs='*', metavar='K', help='learn from K '
                        f'positives per class, too (default: {" ".join(map(str, LOW_SHOTS))})')
    parser.add_argument('--low-shot-samples', type=int, default=5, metavar='N')
    parser.add_argument('--batch-size', type=int, default=32, metavar='N')
    parser.add_argument('--workers', type=int, default=2, metavar='N',
                        help='that load images, per process (default: %(default)s)')
    parser.add_argument('--device', default='auto', help='for the backbone (default: GPU if any)')
    parser.add_argument('--jobs', type=int, default=-1, metavar='N', help='processes that fit, '
                        'about 1.5 GB each (default: one per core)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', metavar='JSON', help='default: work_dirs/voc07_svm/<config>/'
                        '<checkpoint>_<layer>.json')
    parser.add_argument('--launcher', choices=['none', 'pytorch'], help='default: pytorch under '
                        'torchrun')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args()


def main() -> None:
    args = vars(parse_args())
    low_shot = args.pop('low_shot')
    args['low_shot'] = LOW_SHOTS if low_shot == [] else low_shot or ()
    args.pop('traceback')
    launcher = args.pop('launcher') or (
        'pytorch' if 'TORCHELASTIC_RUN_ID' in os.environ else 'none')
    if launcher == 'pytorch':
        if 'RANK' not in os.environ:
            raise MultiSSLError('--launcher pytorch: start it with torchrun')
        # Only features on the CPU are exchanged: gloo does, with GPUs as without.
        torch.distributed.init_process_group('gloo')
    run_voc07_svm(**args)
    if launcher == 'pytorch':
        torch.distributed.destroy_process_group()


if __name__ == '__main__':
    run_tool(main)
