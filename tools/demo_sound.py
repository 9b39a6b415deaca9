"""Sound in small, end to end: ``make demo-sound``.

Writes simulated streets in OmniAudio's layout, converts them as one converts OmniAudio, pretrains
B -> C -> A incrementally, and scores every task on held-out scenes after every stage: so one sees
what a stage forgets of the tasks before it. Every step is a command of this project, printed as
one would type it. What is finished is not done again: remove the folder of the run to start over.
"""
import argparse
from pathlib import Path

from multissl_mm.reproduce import run_sound_demo
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo_sound'),
                        help='folder of the run (default: %(default)s)')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    run_sound_demo(parser.parse_args().out)


if __name__ == '__main__':
    run_tool(main)
