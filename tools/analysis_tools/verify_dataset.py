"""Opens every file of a config's data, or of a folder of pictures, and says which are broken.

    python tools/analysis_tools/verify_dataset.py configs/mocov2.py --workers 8 --out report.json
    python tools/analysis_tools/verify_dataset.py FOLDER

Exit status 1 if any file is broken. What of a config's lists cannot be used is said first.
"""
import argparse
import os

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.analysis import verify_dataset
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import add_cfg_options, apply_options, load_config
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.permissions import ALLOW_OUTSIDE, add_permissions
from multissl_mm.utils.pool import cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', metavar='CONFIG|FOLDER', help='a config (a file, or '
                        'mmdet::folder/name.py), or a folder of pictures')
    parser.add_argument('--splits', nargs='+', choices=['train', 'val', 'test'],
                        default=['train', 'val', 'test'], help='of a config (default: all)')
    parser.add_argument('--workers', type=int, default=cores(), help='processes')
    parser.add_argument('--out', metavar='JSON', help='file for the whole report')
    add_cfg_options(parser)
    add_permissions(parser, ALLOW_OUTSIDE)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    data = args.data
    if not os.path.isdir(data):
        if '::' not in data and not os.path.exists(data):
            raise MultiSSLError(f'{data}: no such config, and no such folder')
        data = load_config(data)
        apply_options(data, args.cfg_options)
    found = verify_dataset(data, args.splits, args.workers, args.out)
    print(*found.summary(), sep='\n')
    if found.broken:
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
