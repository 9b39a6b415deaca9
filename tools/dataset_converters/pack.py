"""Packs a data set into tar files with an index, for file systems that dislike millions of files.

    python tools/dataset_converters/pack.py data/imagenet /fast/imagenet
    python tools/train.py CONFIG --cfg-options \\
        train_dataloader.dataset.dataset.type=multissl_mm.PictureShards \\
        train_dataloader.dataset.dataset.data_root=/fast/imagenet

What OmniAudio's converter wrote is packed with its recordings; data_root is all that changes:

    python tools/dataset_converters/pack.py data/omniaudio /fast/omniaudio

Files are read by their place, so random access, views and stored responses stay what they were.
"""
import argparse

from multissl_mm.converters.packing import pack_data
from multissl_mm.utils.cli import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder, of any depth')
    parser.add_argument('out', help='folder for the index and the tar files')
    parser.add_argument('--disks', nargs='+', default=(), metavar='FOLDER',
                        help='put the tar files there in turn')
    parser.add_argument('--shard-mb', type=float, default=1024, help='default: %(default)s')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    count = pack_data(args.source, args.out, disks=args.disks, shard_mb=args.shard_mb,
                      progress=True)
    print(f'packed {count} files into {args.out}')


if __name__ == '__main__':
    run_tool(main)
