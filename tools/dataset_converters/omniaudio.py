"""Prepares OmniAudio for training: checks every file, cuts frames, computes flow and foreground.

    python tools/dataset_converters/omniaudio.py dataset_public data/omniaudio --size 64 256

ROOT is the public layout: scene%04d/ with VIDEO_%04d_cropped.mp4 and *_Tr1.WAV to *_Tr8.WAV. A
scene whose files cannot be used is left out and reported at the end; finished ones are kept.
"""
import argparse
from pathlib import Path

from multissl_mm.converters.omniaudio import Options, convert, find_scenes
from multissl_mm.utils.cli import positive, run_tool
from multissl_mm.utils.pool import cores

DEFAULT = Options()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='folder with scene0001, scene0002, ...')
    parser.add_argument('out', type=Path)
    parser.add_argument('--size', type=positive, nargs=2, default=DEFAULT.size,
                        metavar=('HEIGHT', 'WIDTH'), help='of stored frames; the width a multiple '
                        'of 64 (default: %(default)s)')
    parser.add_argument('--rows', type=float, nargs=2, default=DEFAULT.rows,
                        metavar=('TOP', 'BOTTOM'), help='part of the height that is kept, as '
                        'shares (default: all)')
    parser.add_argument('--fps', type=float, default=DEFAULT.fps, help='stored frames per second')
    parser.add_argument('--flow-steps', type=positive, default=DEFAULT.flow_steps, metavar='N',
                        help='frames of the video from one stored frame to the next between which '
                        'flow is measured (default: %(default)s)')
    parser.add_argument('--silence', type=float, default=DEFAULT.silence, metavar='DB',
                        help='a segment is silent if track 1 is so far below the mean power of '
                        'its scene (default: %(default)s)')
    parser.add_argument('--scenes', type=int, nargs=2, metavar=('FIRST', 'LAST'), default=(),
                        help='only these; the index then names no others (default: all)')
    parser.add_argument('--workers', type=positive, default=cores())
    parser.add_argument('--strict', action='store_true', help='exit with 1 if any scene is bad')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    options = Options(args.fps, args.flow_steps, tuple(args.size), tuple(args.rows),
                      silence=args.silence)
    found = convert(args.root, args.out, options, find_scenes(args.root, *args.scenes),
                    args.workers)
    print(*found.summary(args.out), sep='\n')
    if found.bad and args.strict:
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
