"""Draws by what heads tell directions: differences of time and level between the ears, all around.

    tools/evidence/fetch.sh head
    python tools/evidence/heads.py kemar data/evidence/omnitone/build/omnitone.esm.js
"""
import argparse
from pathlib import Path

from multissl_mm.analysis.heads import draw_heads
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('heads', nargs='+', help='kemar, or the script of the npm package omnitone')
    parser.add_argument('--out', type=Path, default='outputs/heads.png', help='picture '
                        '(default: %(default)s)')
    args = parser.parse_args()
    print(draw_heads(args.heads, args.out))


if __name__ == '__main__':
    run_tool(main)
