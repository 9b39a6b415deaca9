"""Random numbers that depend on a key and on nothing else."""
import hashlib
import random
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence, Union

import numpy as np
import torch

from .device import to_device


def key_to_seed(*key: Union[int, str]) -> int:
    """A 64-bit seed from any key; the same on every machine (unlike ``hash``)."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little')


def seed_all(*key: Union[int, str]) -> None:
    """Seeds python, NumPy and torch (all devices) from a key."""
    seed = key_to_seed(*key)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed % 2**63)


@contextmanager
def keyed_randomness(*key: Union[int, str]) -> Iterator[None]:
    """Within the block, python, NumPy and torch (CPU) draw from a generator keyed by ``key``.

    Afterwards they go on where they were, so that a data pipeline that runs in the training
    process (``num_workers=0``) leaves the model's random numbers alone.
    """
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    seed = key_to_seed(*key)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.random.default_generator.manual_seed(seed % 2**63)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.random.set_rng_state(before[2])


def keyed_integers(samples: Optional[Sequence], what: str, high: int, count: int,
                   device: Union[str, torch.device] = 'cpu') -> torch.Tensor:
    """A random number in 0 .. high - 1 for each sample of a batch, (N,).

    It depends on the key of the sample's views (:class:`KeyedDataset` writes it into the sample)
    and on ``what`` alone, so that the same views always get the same number: in another epoch that
    shows them again, on another rank, in a run that was resumed, when responses are recorded.
    Samples without a key draw from torch's generator.

    Args:
        samples (sequence, optional): N elements with ``seed``, ``replica`` and ``sample_idx``.
        what (str): What is drawn, a name of the caller's own.
        high (int): How many values there are.
        count (int): N.
        device (torch.device): Where the numbers are wanted.
    """
    keys = [tuple(s.get(k) for k in ('seed', 'replica', 'sample_idx')) if s is not None else (None,)
            for s in samples or [None]]
    if any(None in key for key in keys):
        return torch.randint(high, (count, ), device=device)
    return to_device(torch.tensor([key_to_seed(what, *key) % high for key in keys]), device)
