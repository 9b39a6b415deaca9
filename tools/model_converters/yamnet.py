"""Turns the YAMNet of a TensorFlow saved model into an encoder of sound, without TensorFlow.

    tools/evidence/fetch.sh yamnet
    python tools/model_converters/yamnet.py data/evidence/yamnet data/evidence/yamnet.pth \\
        --hear street.wav horn.wav

The row "Supervised" of Tables 2a and 2b is evaluated with it as configs/sound/yamnet.py (at 48 kHz)
or configs/sound/demo/yamnet.py (at 16 kHz) say. --hear prints which of AudioSet's 521 classes it
hears in files, in silence, noise and a pure tone: so one sees whether it is whole.
"""
import argparse

from multissl_mm.converters.yamnet import SoundTagger, convert_yamnet, hear_files
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.logs import warnings_alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', help='saved model, with variables/ and assets/')
    parser.add_argument('out', help='checkpoint to write')
    parser.add_argument('--hear', nargs='*', metavar='WAV', help='say what it hears')
    parser.add_argument('--top', type=int, default=5, help='so many classes each')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    with warnings_alone():
        classes = convert_yamnet(args.folder, args.out)
        print(f'wrote {args.out}: an encoder trained on {len(classes)} classes of sounds')
        if args.hear is not None:
            for name, tags in hear_files(SoundTagger(args.out), args.hear, args.top):
                print(f'{name}: ' + ', '.join(f'{tag.name} {tag.share:.2f}' for tag in tags))


if __name__ == '__main__':
    run_tool(main)
