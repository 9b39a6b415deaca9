"""python -m multissl_mm.simulation OUT: writes the demo data."""
import argparse
import time
from pathlib import Path

from ..errors import MultiSSLError
from ..utils.cli import run_tool
from ..utils.pool import cores
from .heads import KEMAR
from .omniaudio import Recording, write_omniaudio
from .products import products
from .streets import STREETS
from .writers import PARTS, check_part, write_part


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='python -m multissl_mm.simulation',
        description='Writes simulated streets, or real products: pictures in the layouts of '
        'ImageNet, VOC2007 and COCO, and 360-degree video with four binaural pairs in the layout '
        'of OmniAudio. What is there already is left as it is.')
    parser.add_argument('out', type=Path, help='folder for the data')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--size', type=int, default=160, help='side of a picture in pixels')
    parser.add_argument('--imagenet', type=int, default=0, help='number of unlabelled pictures')
    parser.add_argument('--voc', type=int, default=0, help='number of VOC2007 pictures')
    parser.add_argument('--coco-train', type=int, default=0)
    parser.add_argument('--coco-val', type=int, default=0)
    parser.add_argument('--products', metavar='FOLDER', help='instead of streets real products, of '
                        'Fashion-MNIST, whose files are there (tools/evidence/fetch.sh products)')
    sound = parser.add_argument_group('OmniAudio', 'video and sound of whole scenes')
    sound.add_argument('--omniaudio', type=int, default=0, help='number of scenes')
    sound.add_argument('--seconds', type=float, default=60., help='length of a scene')
    sound.add_argument('--panorama', type=int, nargs=2, default=(128, 256),
                       metavar=('HEIGHT', 'WIDTH'), help='pixels of the whole sphere')
    sound.add_argument('--fps', type=int, default=8)
    sound.add_argument('--sample-rate', type=int, default=16000)
    sound.add_argument('--no-vehicle-sound', action='store_true',
                       help='only the ambience of each place is heard: a control')
    sound.add_argument('--head', default=KEMAR, metavar='FILE', help='whose ears: %(default)s, or '
                       'the script of the npm package omnitone (tools/evidence/fetch.sh head)')
    sound.add_argument('--recordings', metavar='FOLDER', help='what vehicles sound like, a folder '
                       'for each class, instead of their physics (tools/evidence/recordings.py)')
    parser.add_argument('--workers', type=int, default=cores())
    args = parser.parse_args()
    counts = {part: getattr(args, part) for part in PARTS}
    if min(*counts.values(), args.omniaudio) < 0 or args.size < 32 or not (
            any(counts.values()) or args.omniaudio):
        raise MultiSSLError('nothing to write: give --imagenet, --voc, --coco-train, --coco-val or '
                            '--omniaudio a positive number, and --size at least 32')
    how = Recording(args.seconds, tuple(args.panorama), args.fps, args.sample_rate,
                    not args.no_vehicle_sound, args.head, args.recordings)
    if args.seconds < 2 or min(how.size) < 16 or how.size[1] % 8 or min(how[2:4]) < 1:
        raise MultiSSLError('a scene needs --seconds of at least 2, a --panorama of at least 16 '
                            'pixels whose width is a multiple of 8, and positive --fps and '
                            '--sample-rate')
    counts = {part: count for part, count in counts.items() if count}
    what = products(args.products) if args.products else STREETS
    for part, count in counts.items():  # before anything is written
        check_part(args.out, part, args.seed, count, args.size, what)
    for part, count in counts.items():
        start = time.time()
        done = write_part(args.out, part, args.seed, count, args.size, args.workers, what)
        _say(part, f'{count} pictures', start, done)
    if args.omniaudio:
        start = time.time()
        done = write_omniaudio(args.out / 'omniaudio', args.seed, args.omniaudio, how,
                               args.workers)
        _say('omniaudio', f'{args.omniaudio} scenes of {args.seconds:g} s', start, done)


def _say(part: str, what: str, start: float, done: bool) -> None:
    when = f'in {time.time() - start:.1f} s' if done else 'are there already'
    print(f'{part}: {what} {when}', flush=True)


if __name__ == '__main__':
    run_tool(main)
