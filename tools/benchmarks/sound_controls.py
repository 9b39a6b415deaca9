"""Do the pretext tasks of sound learn from sound? With it, they must; without it, they must not.

    python tools/benchmarks/sound_controls.py                # or --rows a a_noise

Trains A, B and C alone at demo size and scores them on training and on held-out scenes; then A and
B with every sound replaced by noise of the same power, and C where only the ambience of each place
is heard. Exit status 1 if a bound is missed.
"""
import argparse
from pathlib import Path

from multissl_mm.reproduce import run_sound_controls
from multissl_mm.reproduce.controls import CONTROLS
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', nargs='+', choices=list(CONTROLS), help='default: all')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/sound_controls'),
                        help='folder for runs and scores (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', dest='options',
                        help="changes of the configs, e.g. another length of training")
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    if not all(run_sound_controls(args.rows, args.out, args.options).values()):
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
