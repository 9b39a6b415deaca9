"""Variables of a TensorFlow checkpoint, without TensorFlow.

A checkpoint is ``NAME.index``, a table of LevelDB's format that says what every variable is and
where, and ``NAME.data-00000-of-00001``, their values one after the other.
"""
import struct
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple, Union

import numpy as np

from ..errors import MultiSSLError
from ..utils.files import AnyPath

#: What a table ends with.
MAGIC = 0xdb4775248b80fb57
FOOTER = 48  # bytes: two places, of the index of the meta blocks and of the blocks, and MAGIC
FLOAT = 1  # TensorFlow's number of float32


class Variable(NamedTuple):
    """One entry of the index: TensorFlow's number of its type, its shape, and where it is."""
    dtype: int
    shape: Tuple[int, ...]
    shard: int
    offset: int
    size: int


def read_index(path: AnyPath) -> Dict[str, Variable]:
    """What a checkpoint holds, by name.

    Args:
        path (str): The file ``*.index``.

    Raises:
        MultiSSLError: If it is no such table, or a compressed one, which TensorFlow does not write.
    """
    path = Path(path)
    table = path.read_bytes()
    if len(table) < FOOTER or struct.unpack('<Q', table[-8:])[0] != MAGIC:
        raise MultiSSLError(f'{path}: this is no index of a TensorFlow checkpoint')
    found = {}
    try:
        _, at = _place(table, len(table) - FOOTER)  # of the meta blocks, which say nothing here
        blocks, _ = _place(table, at)
        for _, place in _entries(_block(table, blocks)):
            for key, value in _entries(_block(table, _place(place, 0)[0])):
                if key:  # the first entry, without a name, is the header
                    found[key.decode()] = _variable(value)
    except (IndexError, struct.error, ValueError) as e:
        raise MultiSSLError(f'{path}: the index is damaged ({e}); fetch it again') from e
    return found


def read_variables(prefix: AnyPath) -> Dict[str, np.ndarray]:
    """All float variables of a checkpoint of one shard, by name.

    Args:
        prefix (str): The files without ``.index`` and ``.data-00000-of-00001``.

    Raises:
        MultiSSLError: If a file is not there, is shorter than its index says, or is another.
    """
    index, path = Path(f'{prefix}.index'), Path(f'{prefix}.data-00000-of-00001')
    for file in (index, path):
        if not file.is_file():
            raise MultiSSLError(f'{file}: no such file; a TensorFlow checkpoint has both')
    data, found = path.read_bytes(), {}
    for name, variable in read_index(index).items():
        if variable.dtype != FLOAT:
            continue
        count = int(np.prod(variable.shape, dtype=np.int64))
        if variable.shard or variable.size != 4 * count or \
                variable.offset + variable.size > len(data):
            raise MultiSSLError(f'{path}: {name} of shape {variable.shape} is not where the index '
                                'says; fetch the checkpoint again')
        found[name] = np.frombuffer(data, '<f4', count, variable.offset).reshape(variable.shape)
    return found


# ---------------------------------------------------------------------- the table

def _varint(data: bytes, at: int) -> Tuple[int, int]:
    """A number of seven bits a byte, and where the next thing starts."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _place(data: bytes, at: int) -> Tuple[Tuple[int, int], int]:
    """Offset and size of a block, and where the next thing starts."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(table: bytes, place: Tuple[int, int]) -> bytes:
    offset, size = place
    if table[offset + size]:
        raise ValueError('a compressed block')
    return table[offset:offset + size]


def _entries(block: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Keys and values; of a key only what differs from the one before is written."""
    restarts, = struct.unpack('<I', block[-4:])
    at, key = 0, b''
    while at < len(block) - 4 * (restarts + 1):
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + block[at:at + own]
        yield key, block[at + own:at + own + size]
        at += own + size


def _fields(message: bytes) -> Iterator[Tuple[int, Union[int, bytes]]]:
    """Numbers and values of a protocol buffer's fields."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            number, at = _varint(message, at)
            yield tag >> 3, number
            continue
        size = {1: 8, 5: 4}.get(tag & 7)
        if size is None:
            size, at = _varint(message, at)
        yield tag >> 3, message[at:at + size]
        at += size


def _variable(message: bytes) -> Variable:
    """A ``BundleEntryProto``: dtype 1, shape 2 (its sizes 2.1), shard 3, offset 4, size 5."""
    numbers: Dict[int, int] = {}
    shape: List[int] = []
    for field, value in _fields(message):
        if isinstance(value, int):
            numbers[field] = value
        elif field == 2:
            shape += [int(dict(_fields(size)).get(1, 0)) for number, size in _fields(value)
                      if number == 2 and isinstance(size, bytes)]
    return Variable(numbers.get(1, 0), tuple(shape), numbers.get(3, 0), numbers.get(4, 0),
                    numbers.get(5, 0))
