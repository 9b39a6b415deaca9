"""Labels the vehicles of real recordings with a Cityscapes segmentation model of mmsegmentation.

    python tools/dataset_converters/label_omniaudio.py OUT CONFIG CHECKPOINT --device cuda

OUT is what tools/dataset_converters/omniaudio.py wrote. The model sees the frame in the middle of
each segment (section 5.1); of what it finds, buses, cars, trams, motorcycles and trucks are kept
where something moves. Scenes that came with labels keep them, and what the same model has labelled
is not done again. mmsegmentation is optional: ``pip install onedl-mmsegmentation`` or
``mmsegmentation``.
"""
import argparse
from pathlib import Path

from multissl_mm.converters.omniaudio import label_omniaudio
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.permissions import TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder with the index of the converter')
    parser.add_argument('config', help='of mmsegmentation')
    parser.add_argument('checkpoint', help='of that config, trained on Cityscapes')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--root', type=Path, help='folder of the recordings, if they have moved')
    parser.add_argument('--strict', action='store_true', help='exit with 1 if any scene is bad')
    add_permissions(parser, TRUST_CHECKPOINT)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    done = label_omniaudio(args.out, args.config, args.checkpoint, args.device, args.root)
    print(*done.summary(args.out), sep='\n')
    if done.bad and (args.strict or not (done.now or done.before or done.given)):
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
