"""Everything that needs a GPU, in one JSON file: tools/benchmarks/gpu_suite.sh starts this.

    tools/benchmarks/gpu_suite.sh --out work_dirs/gpu.json

What the machine is; the table of steps in single and in mixed precision, with peak memory and the
share of the limit; whether the host waits in a step; one rank behind NCCL; kill and resume; the
loader; and losses of every pretext task by precision, memory format and compilation beside those of
the CPU. A part that fails does not keep the others from running; the exit status is 1 then.
"""
import argparse
from pathlib import Path

from multissl_mm.benchmarks.gpu_suite import DRY, Extent, run_suite
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/gpu_suite.json'),
                        help='JSON file for the results (default: %(default)s)')
    parser.add_argument('--dry', action='store_true', help='tiny, on the CPU')
    parser.add_argument('--seconds', type=float, default=540,
                        help='after which no part is begun (default: %(default)s)')
    parser.add_argument('--only', default='', help='parts with this in their name')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    failed = run_suite(args.out, 'cpu' if args.dry else 'cuda', DRY if args.dry else Extent(),
                       args.seconds, args.only)
    if failed:
        raise SystemExit(f'{len(failed)} parts failed, see {args.out}: {", ".join(failed)}')


if __name__ == '__main__':
    run_tool(main)
