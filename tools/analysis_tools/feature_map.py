"""A picture of what a backbone tells apart: features of labelled images in two dimensions.

    python tools/analysis_tools/feature_map.py configs/demo/il_mocov2_densecl.py random \
        work_dirs/demo/il_mocov2_densecl/final.pth --data data/demo/VOCdevkit/VOC2007

One panel per checkpoint of the same config; "random" is the backbone before any training. Features
are those of the VOC07 protocol: the last layer, pooled, divided by its length. PCA keeps distances
as well as two dimensions can and says how much of the variance that is. t-SNE (after a PCA to 50
dimensions) keeps neighbours only: sizes of clusters and distances between them mean nothing.
"""
import argparse
from pathlib import Path

from multissl_mm.analysis.feature_map import METHODS, draw_feature_map
from multissl_mm.evaluation.voc07 import LAYERS
from multissl_mm.utils.cli import positive, run_tool
from multissl_mm.utils.permissions import TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='that has the backbone')
    parser.add_argument('checkpoints', nargs='+', metavar='CHECKPOINT',
                        help='file, URL, or "random"')
    parser.add_argument('--data', required=True, help='folder of class folders, or VOC2007')
    parser.add_argument('--classes', nargs='+', help='only these')
    parser.add_argument('--max-images', type=int, default=1500)
    parser.add_argument('--method', choices=list(METHODS), default='tsne')
    parser.add_argument('--layer', choices=list(LAYERS), default='feat5')
    parser.add_argument('--image-size', type=positive, default=224, help='pixels')
    parser.add_argument('--prefix', default='backbone.', help='of the keys in the checkpoint')
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=Path('feature_map.png'), help='picture')
    add_permissions(parser, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = vars(parser.parse_args())
    args.pop('traceback')
    draw_feature_map(**args)
    print(f'wrote {args["out"]}')


if __name__ == '__main__':
    run_tool(main)
