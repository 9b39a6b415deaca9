"""What the views of a dataset depend on, in a few characters, wherever its files lie."""
import hashlib
import os
from typing import Any, Iterator, Optional, Protocol, Sequence, Union, runtime_checkable

from mmengine.dataset import BaseDataset

from .digest import digest
from .shards import is_member, parse_member
from .wrappers import children, origins

#: So many files at most are asked for their size. 1.28 M of them would be a storm on a network
#: file system at the start of every run; 10,000 take 30 ms on a disk and a few seconds there. So
#: data that were made anew are noticed (another size, another quality), one changed file need not
#: be.
MAX_SIZES = 10_000


@runtime_checkable
class HasContentDigest(Protocol):
    """A dataset that knows best what its samples show."""

    def content_digest(self) -> str:
        """16 hexadecimal digits, the same where its folders have moved."""


def data_digest(dataset: BaseDataset, sparse: bool = False) -> str:
    """Digest of all that a dataset says of its samples, and of the sizes of their files.

    Paths count from ``data_root`` (or ``data_prefix``) on: a folder may move. Entries of 1.28 M
    pictures take about 6 s, once in a run that stores responses.

    Args:
        dataset (BaseDataset): Or a wrapper of such.
        sparse (bool): Ask only for as many samples as for sizes; entries of mmdet, with all their
            masks, take ten times as long. Defaults to False.
    """
    if isinstance(dataset, HasContentDigest):
        return dataset.content_digest()
    inner = children(dataset)
    if inner:
        sha = hashlib.sha256(repr([data_digest(child, sparse) for child in inner]).encode())
        sha.update(repr(origins(dataset)).encode())
        return sha.hexdigest()[:16]
    prefixes = getattr(dataset, 'data_prefix', None) or {}
    roots = [os.path.join(root, '')
             for root in (getattr(dataset, 'data_root', None), *prefixes.values()) if root]
    sha = hashlib.sha256(str(len(dataset)).encode() if sparse else b'')
    every = -(-len(dataset) // MAX_SIZES)
    for index in range(0, len(dataset), every if sparse else 1):
        info = dataset.get_data_info(index)
        sha.update(repr(_moved(info, roots)).encode())
        if index % every == 0:
            sha.update(repr([file_size(path) for path in _paths(info, roots)]).encode())
    return sha.hexdigest()[:16]


def pipeline_digest(dataset: Union[dict, BaseDataset]) -> str:
    """Digest of how a dataset, or the config of one, makes views of its samples."""
    inner = children(dataset)
    if inner:
        return digest([pipeline_digest(child) for child in inner])
    return digest(dataset.get('pipeline', []) if isinstance(dataset, dict)
                  else getattr(dataset, 'pipeline', None))


def file_size(path: str) -> Optional[int]:
    """In bytes; None where there is no such file on a local file system."""
    if is_member(path):
        return parse_member(path)[2]
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def _moved(value: Any, roots: Sequence[str]) -> Any:
    """A sample's entry with paths as they would be if its root were here."""
    if isinstance(value, str):
        if is_member(value):
            return parse_member(value)[3]
        root = next((root for root in roots if value.startswith(root)), '')
        return value[len(root):]
    if isinstance(value, dict):
        return {key: _moved(child, roots) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_moved(child, roots) for child in value]
    return value


def _paths(value: Any, roots: Sequence[str]) -> Iterator[str]:
    if isinstance(value, str) and (is_member(value) or any(map(value.startswith, roots))):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _paths(child, roots)
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from _paths(child, roots)
