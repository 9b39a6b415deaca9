"""Data sets of many files as a few tar files with an index."""
import json
import os
import os.path as osp
from pathlib import Path
from typing import Any, Dict

from ..datasets.omniaudio import read_index
from ..errors import MultiSSLError
from ..utils.files import AnyPath, write_atomically
from ..utils.images import files_below
from ..utils.listed import check_there
from ..utils.shards import pack_files

#: Where recordings stand among packed files.
RECORDINGS = 'recordings'


def pack_data(source: AnyPath, out: AnyPath, **options: Any) -> int:
    """Packs a folder of pictures, of any depth, or one that OmniAudio's converter wrote.

    The latter with the recordings and videos that its index names, wherever they are. The index
    stays a file, so that the new folder is used as the old one was.

    Args:
        source (str | Path): A folder; hidden files are left out.
        out (str | Path): Another one.
        options: ``disks``, ``shard_mb`` and ``progress`` of
            :func:`multissl_mm.utils.shards.pack_files`.

    Returns:
        int: Files that were packed.

    Raises:
        MultiSSLError: If there is no file, if one that is named is missing, or cannot be written.
    """
    files, index_file = _files_in(str(source)), osp.join(source, 'index.json')
    if 'index.json' not in files or not _is_of_scenes(index_file):
        return pack_files(files, out, **options)
    index = read_index(index_file)
    root = osp.join(source, index['metainfo']['source'])
    named = {name: osp.join(root, name) for scene in index['data_list']
             for name in (scene['video'], *scene['tracks'].values())}
    check_there(list(named.values()), 'recording', index_file)
    del files['index.json']
    files.update((f'{RECORDINGS}/{name}', path) for name, path in named.items())
    count = pack_files(files, out, **options)
    index['metainfo']['source'] = RECORDINGS
    write_atomically(Path(out, 'index.json'), json.dumps(index))
    return count + 1


def _files_in(source: str) -> Dict[str, str]:
    files = {osp.relpath(path, source).replace(os.sep, '/'): path for path in files_below(source)}
    if not files:
        raise MultiSSLError(f'{source}: no file in it, nor in its folders' if osp.isdir(source)
                            else f'{source}: no such folder')
    return files


def _is_of_scenes(path: str) -> bool:
    try:
        return json.loads(Path(path).read_text())['metainfo']['dataset'] == 'OmniAudio'
    except (ValueError, KeyError, TypeError):
        return False  # anybody's file of this name
