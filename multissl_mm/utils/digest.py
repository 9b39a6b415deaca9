"""What a thing is, in a few characters: equal things have equal digests, on every machine."""
import hashlib
from functools import partial
from typing import Any, Iterator, Mapping, Tuple

import numpy as np
import torch
from torch import nn

from .files import AnyPath


def digest(value: Any) -> str:
    """16 hexadecimal digits of whatever configs, transforms and preprocessors are made of.

    Objects count by their class and attributes, functions by their names, arrays and tensors by
    their numbers; where in memory they are does not count.
    """
    sha = hashlib.sha256()
    for part in _parts(value, ()):
        sha.update(part)
        sha.update(b'\0')
    return sha.hexdigest()[:16]


def state_digest(module: nn.Module) -> bytes:
    """SHA-256 of names and values of all parameters and buffers."""
    sha = hashlib.sha256()
    for key, value in module.state_dict().items():
        sha.update(key.encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.digest()


def file_digest(path: AnyPath) -> str:
    """SHA-256 of a file, 64 hexadecimal digits as ``sha256sum`` prints them."""
    sha = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def _parts(value: Any, within: Tuple[int, ...]) -> Iterator[bytes]:
    if id(value) in within:  # it holds itself
        return
    within = (*within, id(value))
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        yield repr(value).encode()
    elif isinstance(value, Mapping):
        yield b'{'
        for key in sorted(value, key=repr):
            yield repr(key).encode()
            yield from _parts(value[key], within)
        yield b'}'
    elif isinstance(value, (list, tuple)):
        yield b'['
        for item in value:
            yield from _parts(item, within)
        yield b']'
    elif isinstance(value, (set, frozenset)):
        yield from sorted(b'\1'.join(_parts(item, within)) for item in value)
    elif isinstance(value, torch.Tensor):
        yield from _parts(value.detach().cpu().numpy(), within)
    elif isinstance(value, np.ndarray):
        yield f'{value.dtype} {value.shape}'.encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, partial):
        yield from _parts((value.func, value.args, value.keywords), within)
    elif hasattr(value, '__qualname__'):  # a function or a class
        yield f'{value.__module__}.{value.__qualname__}'.encode()
    else:
        yield type(value).__qualname__.encode()
        yield from _parts(getattr(value, '__dict__', repr(value)), within)
