"""Views that depend on (seed, replica, sample) and on nothing else."""
import os.path as osp
from itertools import islice
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Protocol, Tuple, Union

import numpy as np
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from ..errors import MultiSSLError
from ..registry import DATA_SAMPLERS, DATASETS
from ..utils.content import data_digest, pipeline_digest
from ..utils.images import is_image, read_image
from ..utils.keyed_random import keyed_randomness
from ..utils.shards import is_member
from ..utils.wrappers import check_nested, children, leaves, origin


class KeptResponses(Protocol):
    """What was once answered to views, see :class:`multissl_mm.responses.ResponseBank`.

    It travels with every key to the loader's workers, so it must be small and picklable.
    """
    name: str

    def read(self, replica: int, index: int) -> Dict[str, np.ndarray]:
        """Responses to the views of one sample, by name."""


class ViewKey(NamedTuple):
    """Names one set of views of one sample; what :class:`KeyedSampler` puts out.

    ``kept`` are old responses to these views, which the loader's workers are to read. They come
    with the key since workers that persist know nothing of what a later stage keeps.
    """
    seed: int
    replica: int
    index: int  # type: ignore[assignment]  # not that of tuples
    kept: Tuple[KeptResponses, ...] = ()


class KeptRows(Dict[str, Dict[str, np.ndarray]]):
    """Old responses to one sample, by who gave them; MMEngine's copies of samples share it."""

    def __deepcopy__(self, memo: dict) -> 'KeptRows':
        return self


@DATA_SAMPLERS.register_module()
class KeyedSampler(DefaultSampler):
    """MMEngine's default sampler, except that each index comes with the key of its views.

    The replica is the epoch, so that every epoch has new views. Where a model is held to stored
    responses a hook sets :attr:`replicas`, and epoch e shows replica e mod replicas, and
    :attr:`kept`, which every key brings along. A run that goes on in the middle of an epoch sets
    :attr:`seen`, how many samples of this process to leave out, once.
    """

    replicas: Optional[int] = None
    kept: Tuple[KeptResponses, ...] = ()
    seen = 0

    def __iter__(self) -> Iterator[ViewKey]:
        return self.keyed(super().__iter__())

    def keyed(self, indices: Iterator[int]) -> Iterator[ViewKey]:
        """Those of this epoch's views of samples, behind those that were :attr:`seen`."""
        seen, self.seen = self.seen, 0
        indices = islice(indices, seen, None)
        replica = self.epoch if self.replicas is None else self.epoch % self.replicas
        return (ViewKey(self.seed, replica, int(index), self.kept) for index in indices)


@DATASETS.register_module()
class KeyedDataset(Dataset):
    """Any MMEngine dataset, with every random choice of its pipeline keyed by a :class:`ViewKey`.

    Neither worker nor rank nor order of access matters, so the same key gives the same views
    anywhere: that makes runs resume exactly and lets responses be stored for later epochs. Use it
    with :class:`KeyedSampler`.

    A packed sample says which views it shows (``seed``, ``replica``, ``sample_idx``), and has in
    ``kept`` what was answered to them, where the key asks for that.

    Args:
        dataset (dict): Config of a dataset derived from :class:`mmengine.dataset.BaseDataset`, or
            of ``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset`` or MMPretrain's
            ``KFoldDataset`` around such.
        max_skip (int): How many damaged files may be replaced by the next readable sample before
            it is an error; each is reported when it is met, and at the end of an epoch. Every
            worker counts for itself. Defaults to 0: the first one is an error.

    A file is damaged if the picture's decoder says so, or a :class:`MultiSSLError` that has it as
    its ``file``. Any other error is raised as it is, since no file is to blame for it; so is one
    about a pipeline that returns nothing for a sample.

    Raises:
        MultiSSLError: If ``dataset``, or what is in it, is no dataset and no config of one.
    """

    def __init__(self, dataset: Union[dict, BaseDataset, None] = None, max_skip: int = 0) -> None:
        check_nested(dataset, 'KeyedDataset.dataset')
        # Before anything is used: a transform of its own may keep what it has seen.
        #: How views are made, for who wants the same of other samples; empty of a dataset object.
        self.pipeline_cfg = _pipeline(dataset) if isinstance(dataset, dict) else []
        self._views = pipeline_digest(dataset)
        self._data: Optional[str] = None
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.max_skip = max_skip
        self.skipped: List[str] = []

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def full_init(self) -> None:
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        return self.dataset.get_data_info(idx)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: ViewKey) -> Dict[str, Any]:
        if not isinstance(key, ViewKey):
            raise MultiSSLError(
                f'KeyedDataset was asked for {key!r}, not for a ViewKey; set the dataloader\'s '
                "sampler to dict(type='multissl_mm.KeyedSampler', shuffle=True)")
        left_out: Dict[str, str] = {}
        for step in range(len(self)):
            index = (key.index + step) % len(self)
            shown = key._replace(index=index)
            try:
                data = self._load(shown)
            except Exception as error:
                damage = self._damage(index, error)
                if damage is None:
                    raise
                left_out.update(self._skip(index, damage))
                continue
            sample = data.get('data_samples')
            if isinstance(sample, BaseDataElement):
                mark(sample, shown)
                if left_out:
                    sample.set_metainfo(dict(left_out=left_out))
            return data
        raise MultiSSLError('no sample of the dataset can be read')

    def _load(self, key: ViewKey) -> Dict[str, Any]:
        dataset, index = origin(self.dataset, key.index)
        info = dataset.get_data_info(index)
        with keyed_randomness(key.seed, key.replica, key.index):
            data = dataset.pipeline(info)
        if data is None:
            file = info.get('img_path')
            raise MultiSSLError(
                f'sample {key.index}{f" ({file})" if file else ""}: '
                f'{_name_of_none(dataset, index, key)} returned None for it; every transform must '
                'return what it made of its sample')
        return data

    def _damage(self, index: int, error: Exception) -> Optional[MultiSSLError]:
        """What is wrong with a sample's file, if anything is and the error comes from that."""
        if isinstance(error, MultiSSLError) and error.file:
            return error
        return damaged_picture(self.dataset, index, error)

    def _skip(self, index: int, damage: MultiSSLError) -> Dict[str, str]:
        """Counts a damaged file; returns it with what is wrong."""
        file, what = str(damage.file), f'{damage} (sample {index})'
        if file not in self.skipped:
            self.skipped.append(file)
        if len(self.skipped) > self.max_skip:
            hint = ('replace or remove it, or let such files be skipped with max_skip of '
                    'KeyedDataset' if self.max_skip == 0 else
                    f'more than max_skip={self.max_skip} files cannot be read; mend the data or '
                    'raise max_skip')
            raise MultiSSLError(f'{what}; {hint}') from damage
        print_log(f'skipped {len(self.skipped)}/{self.max_skip}: {what}', logger='current')
        return {file: str(damage)}

    def fingerprint(self) -> Dict[str, str]:
        """Short digests of the samples and of how views are made from them."""
        if self._data is None:
            self.full_init()
            self._data = data_digest(self.dataset)
        return dict(data=self._data, views=self._views)


def damaged_picture(dataset: Any, index: int, error: Exception) -> Optional[MultiSSLError]:
    """What the decoder says of a sample's picture, where that may be why its pipeline failed.

    Args:
        dataset (BaseDataset): Or a wrapper of such; of others nothing is known.
        index (int): Of the sample.
        error (Exception): Of its pipeline.

    Returns:
        MultiSSLError: About the file; None if it has none, or it is whole, or only a transform of
            another kind knows where it is.
    """
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    file = info.get('img_path')
    if isinstance(error, MemoryError) or file is None or not is_image(file):
        return None
    backend = picture_backend(origin(dataset, index)[0] if children(dataset) else dataset)
    if backend is None and not is_member(file) and not osp.isdir(osp.dirname(file)):
        return None  # not of this disk
    try:
        read_image(file, backend)
    except MultiSSLError as damage:
        return damage if damage.file else None
    return None


def picture_backend(dataset: Any) -> Optional[dict]:
    """The ``backend_args`` by which a dataset's pipeline reads pictures; None if it has no such."""
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    return next((step.backend_args or {} for step in steps if hasattr(step, 'backend_args')), None)


def mark(sample: BaseDataElement, key: ViewKey) -> None:
    """Writes into a sample which views it shows, and reads what was answered to them."""
    sample.set_metainfo(dict(sample_idx=key.index, replica=key.replica, seed=key.seed))
    if key.kept:
        rows = KeptRows((kept.name, kept.read(key.replica, key.index)) for kept in key.kept)
        sample.set_field(rows, 'kept', field_type='metainfo')


def _name_of_none(dataset: Any, index: int, key: ViewKey) -> str:
    """The transform that returns None for a sample, by doing all again."""
    data = dataset.get_data_info(index)
    with keyed_randomness(key.seed, key.replica, key.index):
        for transform in getattr(dataset.pipeline, 'transforms', []):
            data = transform(data)
            if data is None:
                return f'the transform {type(transform).__name__}'
    return 'the pipeline'


def _pipeline(cfg: Any) -> list:
    """That of a dataset's config, of the first one in a wrapper."""
    return next(leaves(cfg)).get('pipeline', [])
