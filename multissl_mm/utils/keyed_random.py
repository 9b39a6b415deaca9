"""Random numbers that depend on a key and on nothing else."""
import hashlib
import random
from contextlib import contextmanager
from typing import Iterator, Union

import numpy as np
import torch


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
