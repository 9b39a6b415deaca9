"""python -m multissl_mm.simulation OUT: writes the demo data."""
import argparse
import os
import time
from pathlib import Path

from ..errors import MultiSSLError
from ..utils.cli import run_tool
from .writers import PARTS, check_part, write_part


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='python -m multissl_mm.simulation',
        description='Writes pictures of simulated streets in the layouts of ImageNet (unlabelled), '
        'VOC2007 and COCO. What is there already is left as it is.')
    parser.add_argument('out', type=Path, help='folder for the data')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--size', type=int, default=160, help='side of a picture in pixels')
    parser.add_argument('--imagenet', type=int, default=0, help='number of unlabelled pictures')
    parser.add_argument('--voc', type=int, default=0, help='number of VOC2007 pictures')
    parser.add_argument('--coco-train', type=int, default=0)
    parser.add_argument('--coco-val', type=int, default=0)
    parser.add_argument('--workers', type=int, default=os.cpu_count())
    args = parser.parse_args()
    counts = {part: getattr(args, part) for part in PARTS}
    if min(counts.values()) < 0 or args.size < 32 or not any(counts.values()):
        raise MultiSSLError('nothing to write: give --imagenet, --voc, --coco-train or --coco-val '
                            'a positive number, and --size at least 32')
    counts = {part: count for part, count in counts.items() if count}
    for part, count in counts.items():  # before anything is written
        check_part(args.out, part, args.seed, count, args.size)
    for part, count in counts.items():
        start = time.time()
        done = write_part(args.out, part, args.seed, count, args.size, args.workers)
        print(f'{part}: {count} pictures ' + (f'in {time.time() - start:.1f} s' if done else
                                              'are there already'), flush=True)


if __name__ == '__main__':
    run_tool(main)
