"""Views that depend on (seed, replica, sample) and on nothing else."""
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Protocol, Tuple, Union

import numpy as np
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from ..errors import MultiSSLError
from ..registry import DATA_SAMPLERS, DATASETS
from ..utils.keyed_random import keyed_randomness
from .content import data_digest, pipeline_digest


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
    :attr:`kept`, which every key brings along.
    """

    replicas: Optional[int] = None
    kept: Tuple[KeptResponses, ...] = ()

    def __iter__(self) -> Iterator[ViewKey]:
        return self.keyed(super().__iter__())

    def keyed(self, indices: Iterator[int]) -> Iterator[ViewKey]:
        """Those of this epoch's views of samples."""
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
        dataset (dict): Config of a dataset derived from :class:`mmengine.dataset.BaseDataset`.
        max_skip (int): How many unreadable samples may be replaced by the next readable one
            before it is an error; each is reported with its file when it is met. Every worker
            counts for itself. Defaults to 0: the first one is an error.
    """

    def __init__(self, dataset: Union[dict, BaseDataset], max_skip: int = 0) -> None:
        # Before anything is used: a transform of its own may keep what it has seen.
        #: How views are made, for who wants the same of other samples; empty of a dataset object.
        self.pipeline_cfg = dataset.get('pipeline', []) if isinstance(dataset, dict) else []
        self._views = pipeline_digest(dataset)
        self._data: Optional[str] = None
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
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
        for step in range(len(self)):
            index = (key.index + step) % len(self)
            shown = key._replace(index=index)
            try:
                data = self._load(shown)
            except Exception as error:  # whatever a decoder makes of a damaged file
                self._report(index, error)
                continue
            sample = data.get('data_samples')
            if isinstance(sample, BaseDataElement):
                mark(sample, shown)
            return data
        raise MultiSSLError('no sample of the dataset can be read')

    def _load(self, key: ViewKey) -> Dict[str, Any]:
        info = self.dataset.get_data_info(key.index)
        with keyed_randomness(key.seed, key.replica, key.index):
            data = self.dataset.pipeline(info)
        if data is None:
            raise ValueError('the pipeline returned nothing')
        return data

    def _report(self, index: int, error: Exception) -> None:
        file = self.dataset.get_data_info(index).get('img_path')
        if isinstance(error, MultiSSLError):  # it names the file
            what, file = str(error), error.file or file or str(error)
        else:
            if file is None:
                file = f'sample {index}'
                reason = _in_short(error)
            elif not os.path.exists(file):
                reason = 'it does not exist'
            elif os.path.getsize(file) == 0:
                reason = 'it is empty'
            else:
                reason = _in_short(error)
            what = f'cannot read {file} (sample {index}): {reason}'
        if file not in self.skipped:
            self.skipped.append(file)
        if len(self.skipped) > self.max_skip:
            hint = ('replace or remove it, or let such files be skipped with max_skip of '
                    'KeyedDataset' if self.max_skip == 0 else
                    f'more than max_skip={self.max_skip} files cannot be read; mend the data or '
                    'raise max_skip')
            raise MultiSSLError(f'{what}; {hint}') from error
        print_log(f'skipped {len(self.skipped)}/{self.max_skip}: {what}', logger='current')

    def fingerprint(self) -> Dict[str, str]:
        """Short digests of the samples and of how views are made from them."""
        if self._data is None:
            self.full_init()
            self._data = data_digest(self.dataset)
        return dict(data=self._data, views=self._views)


def mark(sample: BaseDataElement, key: ViewKey) -> None:
    """Writes into a sample which views it shows, and reads what was answered to them."""
    sample.set_metainfo(dict(sample_idx=key.index, replica=key.replica, seed=key.seed))
    if key.kept:
        rows = KeptRows((kept.name, kept.read(key.replica, key.index)) for kept in key.kept)
        sample.set_field(rows, 'kept', field_type='metainfo')


def _in_short(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'.strip(': ').split('\n')[0]
