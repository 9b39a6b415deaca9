"""Files within tar files, read by their place: a few large files instead of millions of small ones.

A packed file is named ``tar://SHARD?OFFSET+SIZE#NAME``, which says all that reading it takes: any
process reads any sample at any time, as from a folder. MMEngine's file functions, and all that
read through them (``LoadImage``, ``OpenPicture``), understand such names. Of long files a part is
read: :func:`opened`, :func:`open_array`.
"""
import functools
import io
import json
import os
import os.path as osp
import re
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, Mapping, Sequence, Tuple, Union

import numpy as np
from mmengine.fileio import BaseStorageBackend, get_text, join_path, register_backend

from ..errors import MultiSSLError
from .cli import progress_bar
from .files import atomic_path, write_atomically
from .listed import check_inside

INDEX, VERSION = 'shards.json', 1
PREFIX = 'tar://'
#: Bytes that are read ahead of an open file: recordings are read in small pieces, and each piece
#: from behind a URL is a request.
LOCAL, REMOTE = 2 ** 16, 2 ** 20
#: What stands in an index beside names: URLs, and tar files of ours on other disks.
_PACKED = re.compile(r'[\w+.-]+://.+|(?!.*/\.\./)/(.*/)?shard-\d{5,}\.tar', re.DOTALL)
_NAME = re.compile(PREFIX + r'(.+?)\?(\d+)\+(\d+)#(.*)', re.DOTALL)


def pack_files(files: Mapping[str, Union[str, Path]], out: Union[str, Path],
               disks: Sequence[Union[str, Path]] = (), shard_mb: float = 1024,
               progress: bool = False) -> int:
    """Writes files into tar files, and the index of where each of them lies.

    Args:
        files (mapping[str, str | Path]): Where they are, by the names that they will have.
        out (str | Path): Folder for the index, and for the tar files where no disks are named.
        disks (sequence[str | Path]): Folders that get the tar files in turn.
        shard_mb (float): Megabytes after which a new tar file begins.
        progress (bool): Show a bar.

    Returns:
        int: Files that were packed.

    Raises:
        MultiSSLError: If one cannot be written.
    """
    out = Path(out)
    names = sorted(files, key=lambda name: name.split('/'))
    shards, size = [names[:1]], osp.getsize(files[names[0]])
    for name in names[1:]:
        size += osp.getsize(files[name])
        if size > shard_mb * 2**20:
            shards.append([])
            size = osp.getsize(files[name])
        shards[-1].append(name)
    index: Dict[str, Any] = dict(version=VERSION, shards=[], files=[])
    for number, members in enumerate(progress_bar(shards, len(shards), 'tar files', progress)):
        folder = Path(disks[number % len(disks)]).absolute() if disks else out
        shard = folder / f'shard-{number:05d}.tar'
        with atomic_path(shard) as part:
            with tarfile.open(part, 'w') as tar:
                for name in members:
                    # Neither owners nor times: the same folder gives the same bytes.
                    info = tarfile.TarInfo(name)
                    info.size = osp.getsize(files[name])
                    with open(files[name], 'rb') as file:
                        tar.addfile(info, file)
            with tarfile.open(part) as tar:
                index['files'] += [(info.name, number, info.offset_data, info.size)
                                   for info in tar]
        index['shards'].append(dict(path=str(shard) if disks else shard.name,
                                    size=shard.stat().st_size))
    write_atomically(out / INDEX, json.dumps(index))
    return len(names)


def read_members(root: str) -> Dict[str, str]:
    """Of every packed file its name in the folder, and the name it is read by.

    Args:
        root (str): Where the index is: a folder, or what MMEngine's file backends read.

    Raises:
        MultiSSLError: If there is no index, a tar file on this machine is not that of the index, or
            it is outside of the folder, and :func:`pack_files` names none so.
    """
    path = join_path(root, INDEX)
    _opened.cache_clear()
    try:
        index = json.loads(get_text(path))
        if index['version'] != VERSION:
            raise MultiSSLError(f'{path} is of version {index["version"]}, this code reads '
                                f'{VERSION}; pack the folder again')
        for shard in index['shards']:
            if not _PACKED.fullmatch(shard['path']):
                check_inside(shard['path'], path)
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


def state_of_file(path: str) -> Tuple[int, ...]:
    """What changes where a file, or the tar file of a packed one, is replaced by another.

    It goes into the keys of what is kept open. Behind a URL nothing is.
    """
    shard = parse_member(path)[0] if is_member(path) else ''
    if '://' in (shard or path):
        return ()
    found = os.fstat(_opened(shard).fileno()) if shard else os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=256)
def _opened(shard: str) -> BinaryIO:
    """A tar file, open until an index is read anew: where files are in it says the one that was."""
    return open(shard, 'rb', buffering=0)


def _read(shard: str, offset: int, size: int) -> bytes:
    if '://' in shard:
        import fsspec
        files, path = fsspec.url_to_fs(shard)
        return files.cat_file(path, start=offset, end=offset + size)
    # No position is moved, so processes and threads may share what is open.
    return os.pread(_opened(shard).fileno(), size, offset)


class _Member(io.RawIOBase):
    """A packed file as one that is open, without reading more of it than is asked for."""

    def __init__(self, path: str) -> None:
        self.shard, self.offset, self.size, _ = parse_member(path)
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = max(0, offset + (0, self.at, self.size)[whence])
        return self.at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self.size - self.at))
        data = _read(self.shard, self.offset + self.at, wanted) if wanted else b''
        buffer[:len(data)] = data
        self.at += len(data)
        return len(data)


def opened(path: str) -> Union[str, BinaryIO]:
    """A packed file, open; any other one by its name, which those who take the one take as well."""
    if not is_member(path):
        return path
    member = _Member(path)
    return io.BufferedReader(member, REMOTE if '://' in member.shard else LOCAL)


class _PackedArray:
    """Rows of a packed array (N, ...), each of which is read when it is asked for."""

    def __init__(self, path: str) -> None:
        self.member = _Member(path)
        with io.BufferedReader(self.member, LOCAL) as file:
            # Newer versions are for headers that are longer or in UTF-8.
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError('not of version 1.0 of NumPy\'s format')
            self.shape, fortran, self.dtype = np.lib.format.read_array_header_1_0(file)
            if fortran or self.dtype.hasobject or not self.shape:
                raise ValueError('its rows do not lie one after the other')
            self.first = self.member.offset + file.tell()
        self.row = int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        data = _read(self.member.shard, self.first + start * self.row, (stop - start) * self.row)
        return np.frombuffer(data, self.dtype).reshape(-1, *self.shape[1:])


def open_array(path: str) -> Any:
    """An array (N, ...) of a ``.npy``, packed or not, of which slices of rows are read.

    Raises:
        OSError, ValueError: If it cannot be read.
    """
    return _PackedArray(path) if is_member(path) else np.load(path, mmap_mode='r')


class TarBackend(BaseStorageBackend):
    """Reads packed files for MMEngine; tar files behind a URL by fsspec."""

    def get(self, filepath: str) -> bytes:
        """The bytes of a file."""
        return _read(*parse_member(filepath)[:3])

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """A file as text."""
        return self.get(filepath).decode(encoding)


register_backend('multissl_mm.tar', TarBackend, prefixes='tar', force=True)
