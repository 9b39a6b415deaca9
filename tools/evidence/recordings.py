"""Puts recorded vehicles, out of packages of Debian, into a folder for each class.

    tools/evidence/fetch.sh recordings head
    python tools/evidence/recordings.py data/evidence/packages data/evidence/recordings
    python -m multissl_mm.simulation data/second_head --omniaudio 24 --seconds 20 --seed 9 \\
        --head data/evidence/omnitone/build/omnitone.esm.js --recordings data/evidence/recordings

They are what docs/evidence.md lists, under licences of their own: GPL, Artistic and CC BY-SA.
"""
import argparse

from multissl_mm.converters.recordings import gather_recordings
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('packages', help='folder into which they are unpacked')
    parser.add_argument('out', help='folder to write')
    args = parser.parse_args()
    for kind, paths in gather_recordings(args.packages, args.out).items():
        print(f'{kind}: {", ".join(path.name for path in paths)}')


if __name__ == '__main__':
    run_tool(main)
