"""Uses a pretrained encoder on pictures: features, the nearest pictures, pictures of features.

    python tools/infer_image.py configs/il_mocov2_densecl.py CHECKPOINT street.jpg \
        --gallery data/imagenet/val

Of every picture its feature map is drawn over it in three colours, which mean the same in all
pictures of a call. Features go to predictions.json and predictions.npz beside them.
"""
import argparse
from pathlib import Path

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.apis import ImageInferencer, write_predictions
from multissl_mm.utils.cli import positive, run_tool
from multissl_mm.utils.permissions import TRUST_CHECKPOINT, add_permissions


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='with the backbone; a file, or mmpretrain::folder/name.py')
    parser.add_argument('checkpoint', help="file or URL; 'random' for random weights")
    parser.add_argument('pictures', nargs='+', help='files, or one folder')
    parser.add_argument('--gallery', help='folder in which the nearest pictures are looked for')
    parser.add_argument('--top', type=positive, default=5, help='how many (default: %(default)s)')
    parser.add_argument('--image-size', type=positive, default=224, metavar='PX',
                        help='shorter edge')
    parser.add_argument('--prefix', default='backbone.', help='of the keys in the checkpoint')
    parser.add_argument('--batch-size', type=positive, default=8, metavar='N')
    parser.add_argument('--device', help='default: what there is')
    parser.add_argument('--out', default='outputs', help='folder (default: %(default)s)')
    add_permissions(parser, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    infer = ImageInferencer(args.config, args.checkpoint, args.device, args.image_size, args.prefix)
    pictures = args.pictures[0] if len(args.pictures) == 1 else args.pictures
    result = infer(pictures, batch_size=args.batch_size, gallery=args.gallery, top=args.top,
                   out_dir=args.out)
    write_predictions(result['predictions'], args.out)
    for prediction in result['predictions']:
        near = ', '.join(f'{n["file"]} ({n["similarity"]:.2f})'
                         for n in prediction.get('nearest', []))
        print(prediction['file'] + (f': {near}' if near else ''))
    print(*result['visualization'], Path(args.out) / 'predictions.json', sep='\n')


if __name__ == '__main__':
    run_tool(main)
