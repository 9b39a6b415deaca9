"""Files within tar files, read by their place: a few large files instead of millions of small ones.

A packed file is named ``tar://SHARD?OFFSET+SIZE#NAME``, which says all that reading it takes: any
process reads any sample at any time, as from a folder. MMEngine's file functions, and all that
read through them (``LoadImage``, ``OpenPicture``), understand such names.
"""
import functools
import json
import os
import os.path as osp
import re
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, Sequence, Tuple, Union

from mmengine.fileio import BaseStorageBackend, get_text, join_path, register_backend

from ..errors import MultiSSLError
from .cli import progress_bar
from .files import atomic_path, write_atomically
from .images import files_below

INDEX, VERSION = 'shards.json', 1
PREFIX = 'tar://'
_NAME = re.compile(PREFIX + r'(.+?)\?(\d+)\+(\d+)#(.*)', re.DOTALL)


def pack(source: Union[str, Path], out: Union[str, Path], disks: Sequence[Union[str, Path]] = (),
         shard_mb: float = 1024, progress: bool = False) -> int:
    """Writes all files of a folder into tar files, and the index of where each of them lies.

    Args:
        source (str | Path): A folder, of any depth; hidden files are left out.
        out (str | Path): Folder for the index, and for the tar files where no disks are named.
        disks (sequence[str | Path]): Folders that get the tar files in turn.
        shard_mb (float): Megabytes after which a new tar file begins.
        progress (bool): Show a bar.

    Returns:
        int: Files that were packed.

    Raises:
        MultiSSLError: If there is no file, or one cannot be written.
    """
    source, out = str(source), Path(out)
    paths = sorted(files_below(source), key=lambda path: path.split(os.sep))
    if not paths:
        raise MultiSSLError(f'{source}: no file in it, nor in its folders' if osp.isdir(source)
                            else f'{source}: no such folder')
    shards, size = [[paths[0]]], osp.getsize(paths[0])
    for path in paths[1:]:
        size += osp.getsize(path)
        if size > shard_mb * 2**20:
            shards.append([])
            size = osp.getsize(path)
        shards[-1].append(path)
    index: Dict[str, Any] = dict(version=VERSION, shards=[], files=[])
    for number, members in enumerate(progress_bar(shards, len(shards), 'tar files', progress)):
        folder = Path(disks[number % len(disks)]).absolute() if disks else out
        shard = folder / f'shard-{number:05d}.tar'
        with atomic_path(shard) as part:
            with tarfile.open(part, 'w') as tar:
                for path in members:
                    # Neither owners nor times: the same folder gives the same bytes.
                    info = tarfile.TarInfo(osp.relpath(path, source).replace(os.sep, '/'))
                    info.size = osp.getsize(path)
                    with open(path, 'rb') as file:
                        tar.addfile(info, file)
            with tarfile.open(part) as tar:
                index['files'] += [(info.name, number, info.offset_data, info.size)
                                   for info in tar]
        index['shards'].append(dict(path=str(shard) if disks else shard.name,
                                    size=shard.stat().st_size))
    write_atomically(out / INDEX, json.dumps(index))
    return len(paths)


def read_members(root: str) -> Dict[str, str]:
    """Of every packed file its name in the folder, and the name it is read by.

    Args:
        root (str): Where the index is: a folder, or what MMEngine's file backends read.

    Raises:
        MultiSSLError: If there is no index, or a tar file on this machine is not that of the index.
    """
    path = join_path(root, INDEX)
    try:
        index = json.loads(get_text(path))
        if index['version'] != VERSION:
            raise MultiSSLError(f'{path} is of version {index["version"]}, this code reads '
                                f'{VERSION}; pack the folder again')
        # A URL or an absolute path stays; others count from the index.
        shards = [shard['path'] if '://' in shard['path'] else join_path(root, shard['path'])
                  for shard in index['shards']]
        # MMEngine wants a single '://' in a name.
        inner = [shard.replace('://', '::', 1) for shard in shards]
        members = {name: f'{PREFIX}{inner[number]}?{offset}+{size}#{name}'
                   for name, number, offset, size in index['files']}
    except FileNotFoundError as e:
        raise MultiSSLError(f'{path}: no such index; write it with '
                            'tools/dataset_converters/pack.py') from e
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise MultiSSLError(f'{path} is damaged ({type(e).__name__}: {e}); pack the folder '
                            'again') from e
    for shard, noted in zip(shards, index['shards']):
        if '://' in shard:
            continue
        size = osp.getsize(shard) if osp.isfile(shard) else None
        if size != noted['size']:
            raise MultiSSLError(f'{shard} ' + ('is not there' if size is None else
                                               f'has {size} bytes, not {noted["size"]}') +
                                f', though {path} names it; copy it again, or pack the folder anew')
    return members


def is_member(path: str) -> bool:
    """Whether a name is that of a packed file."""
    return path.startswith(PREFIX)


def parse_member(path: str) -> Tuple[str, int, int, str]:
    """Tar file, offset, size and name of a packed file."""
    match = _NAME.fullmatch(str(path))
    if match is None:
        raise MultiSSLError(f'{path}: a packed file is named {PREFIX}SHARD?OFFSET+SIZE#NAME')
    shard, offset, size, name = match.groups()
    return re.sub(r'^([\w+.-]+)::', r'\1://', shard), int(offset), int(size), name


@functools.lru_cache(maxsize=256)
def _opened(shard: str) -> BinaryIO:
    return open(shard, 'rb', buffering=0)


class TarBackend(BaseStorageBackend):
    """Reads packed files for MMEngine; tar files behind a URL by fsspec."""

    def get(self, filepath: str) -> bytes:
        """The bytes of a file."""
        shard, offset, size, _ = parse_member(filepath)
        if '://' in shard:
            import fsspec
            files, path = fsspec.url_to_fs(shard)
            return files.cat_file(path, start=offset, end=offset + size)
        # No position is moved, so processes and threads may share what is open.
        return os.pread(_opened(shard).fileno(), size, offset)

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """A file as text."""
        return self.get(filepath).decode(encoding)


register_backend('multissl_mm.tar', TarBackend, prefixes='tar', force=True)
