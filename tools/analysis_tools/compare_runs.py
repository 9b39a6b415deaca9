"""Curves of several runs over each other, and a table of their last values.

    python tools/analysis_tools/compare_runs.py work_dirs/mtl_mocov2_densecl \\
        work_dirs/il_mocov2_densecl --out compared.png

Runs meet at the same epoch, whatever their batch sizes. A key that only one run has is in the
table and not in the picture.
"""
import argparse
import json
from pathlib import Path

from multissl_mm.analysis import compare_runs
from multissl_mm.analysis.compare import KEYS
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='two runs or more')
    parser.add_argument('--keys', default=KEYS, metavar='REGEX',
                        help='what to compare (default: losses, probes and metrics)')
    parser.add_argument('--out', type=Path, default=Path('compared.png'), help='picture')
    parser.add_argument('--json', type=Path, help='file for the table')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    found = compare_runs(args.work_dirs, args.out, args.keys)
    if args.json:
        write_atomically(args.json, json.dumps(found.values, indent=2))
    print(f'wrote {found.picture}' if found.picture else
          'no picture: the runs have none of these keys in common')


if __name__ == '__main__':
    run_tool(main)
