"""Every file of a data set, opened once."""
import json
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import soundfile
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from ..datasets import KeyedDataset
from ..datasets.keyed import picture_backend
from ..datasets.omniaudio import files_of_scene
from ..errors import MultiSSLError, in_one_line
from ..runtime import check_data
from ..utils.cli import progress_bar
from ..utils.files import AnyPath, kinds, write_atomically
from ..utils.images import find_images, is_image, read_image
from ..utils.pool import worker_pool
from ..utils.shards import open_array, opened
from ..utils.wrappers import leaves


class Verified(NamedTuple):
    """What became of files: how many are of which kind and size, and why others are broken."""
    good: Dict[str, int]
    broken: Dict[str, str]

    def summary(self, most: int = 20) -> List[str]:
        """Lines for people; of many broken files the first ones."""
        lines = [f'{count} {what}' for what, count in self.good.items()]
        if not self.broken:
            return [*lines, 'no file is broken']
        shown = list(self.broken.values())[:most]
        more = len(self.broken) - len(shown)
        return [*lines, f'{len(self.broken)} files are broken ({kinds(self.broken)}):',
                *(f'  {why}' for why in shown), *([f'  ... and {more} more'] if more else [])]


def verify_dataset(data: Any, splits: Sequence[str] = ('train', 'val', 'test'), workers: int = 2,
                   out: Optional[AnyPath] = None, progress: bool = True) -> Verified:
    """Opens and decodes every file that the data sets of a config name, or that is in a folder.

    Pictures are decoded as training decodes them, recordings read to their last sample, arrays of
    the converter read and compared with what the index says. Files that several samples or splits
    share are opened once.

    Args:
        data (Config | str | Path): A config, or a folder of pictures.
        splits (sequence[str]): Of which dataloaders of a config; those that it has.
        workers (int): Processes.
        out (str | Path, optional): JSON file for the report: every broken file, and why.
        progress (bool): Show a bar.

    Raises:
        MultiSSLError: If there is nothing to verify, or a list or index cannot be used.
    """
    files = list({file[:2]: file for file in _files_of(data, splits)}.values())
    good: Counter = Counter()
    broken: Dict[str, str] = {}
    try:
        with worker_pool(workers) as pool:
            found = pool.map(_look, files, chunksize=8)
            # The bar first: it is full when it is asked for one more.
            for (what, fault), file in zip(progress_bar(found, len(files), 'files', progress),
                                           files):
                good[what] += fault is None
                if fault is not None:
                    broken[file.path] = fault
    except BrokenProcessPool as error:
        raise MultiSSLError('a worker was killed, perhaps for want of memory; lower --workers'
                            ) from error
    result = Verified({what: count for what, count in sorted(good.items()) if count}, broken)
    if out is not None:
        write_atomically(out, json.dumps(result._asdict(), indent=2) + '\n')
    return result


class _File(NamedTuple):
    """A file to open: a picture, a recording of so many seconds, an array of so many frames."""
    path: str
    least: float = 0.
    backend_args: Optional[dict] = None


def _files_of(data: Any, splits: Sequence[str]) -> Iterator[_File]:
    if not isinstance(data, Config):
        yield from map(_File, find_images(data))
        return
    found = [split for split in splits if data.get(f'{split}_dataloader')]
    if not found:
        raise MultiSSLError(f'{data.filename or "the config"} has no dataloader of '
                            f'{", ".join(splits)}')
    check_data(data, found)
    with DefaultScope.overwrite_default_scope(data.get('default_scope', 'mmengine')):
        for split in found:
            yield from _named_by(DATASETS.build(data[f'{split}_dataloader'].dataset))


def _named_by(dataset: Any) -> Iterator[_File]:
    """Files of a dataset, of those in a wrapper one after the other."""
    for leaf in leaves(dataset.dataset if isinstance(dataset, KeyedDataset) else dataset):
        leaf.full_init()
        backend = picture_backend(leaf)
        for index in range(len(leaf)):
            info = leaf.get_data_info(index)
            for key in ('img_path', 'seg_map_path'):
                if info.get(key):
                    yield _File(info[key], backend_args=backend)
            for track in info.get('tracks', {}).values():
                yield _File(track, info['duration'])
            if 'arrays' in info:
                yield from (_File(path, info['frames'])
                            for name, path in files_of_scene(info).items()
                            if name.endswith('.npy'))


def _look(file: _File) -> Tuple[str, Optional[str]]:
    """What a file is, and what is wrong with it."""
    path = Path(file.path)
    kind = 'pictures' if is_image(path) else \
        'arrays' if path.suffix == '.npy' else 'recordings' if file.least else 'other files'
    try:
        {'pictures': _look_at_picture, 'arrays': _look_at_array,
         'recordings': _listen}.get(kind, _read)(file)
    except MultiSSLError as error:
        return kind, str(error)
    except Exception as error:  # of whatever decodes it
        return kind, f'{path}: cannot be read ({in_one_line(error)})'
    return kind, None


def _look_at_picture(file: _File) -> None:
    read_image(file.path, file.backend_args)


def _look_at_array(file: _File) -> None:
    array = open_array(file.path)
    if len(array) != file.least:
        raise MultiSSLError(f'{file.path} has {len(array)} frames, the index says {file.least:g}; '
                            'run the converter again')
    for part in _parts(array):
        if np.issubdtype(part.dtype, np.floating) and not np.isfinite(part).all():
            raise MultiSSLError(f'{file.path} has a value that is not finite; run the converter '
                                'again')


def _parts(array: Any, size: int = 256) -> Iterable[np.ndarray]:
    return (np.asarray(array[i:i + size]) for i in range(0, len(array), size))


def _listen(file: _File) -> None:
    frames = 0
    with soundfile.SoundFile(opened(file.path)) as sound:
        for block in sound.blocks(sound.samplerate, dtype='float32'):
            if not np.isfinite(block).all():
                raise MultiSSLError(f'{file.path} has a sample that is not a number at '
                                    f'{frames / sound.samplerate:.2f} s; restore it')
            frames += len(block)
        if frames < (file.least - .01) * sound.samplerate:
            raise MultiSSLError(f'{file.path} ends after {frames / sound.samplerate:.2f} s, the '
                                f'index says {file.least:.2f} s: it was cut off; restore it')


def _read(file: _File) -> None:
    with open(file.path, 'rb') as whole:
        while whole.read(1 << 20):
            pass
