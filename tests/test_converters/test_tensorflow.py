"""TensorFlow's checkpoints without TensorFlow, on a tiny one that is made here."""
import struct
from pathlib import Path

import numpy as np
import pytest

from multissl_mm.converters.tensorflow import MAGIC, read_index, read_variables
from multissl_mm.errors import MultiSSLError


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def entry(shape, offset, size, dtype=1):
    """A BundleEntryProto, with what the parser does not use (a checksum) at its end."""
    dims = b''.join(b'\x12' + varint(len(d)) + d for d in (
        b'\x08' + varint(n) for n in shape))
    return (b'\x08' + varint(dtype) + b'\x12' + varint(len(dims)) + dims + b'\x20' +
            varint(offset) + b'\x28' + varint(size) + b'\x35' + b'\0\0\0\0')


def block(entries, compressed=0):
    """Keys that begin as the one before are written by their ends alone."""
    out, before = b'', b''
    for key, value in entries:
        shared = 0
        while shared < min(len(before), len(key)) and before[shared] == key[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        before = key
    return out + struct.pack('<II', 0, 1) + bytes([compressed]) + b'\0\0\0\0'


def table(blocks, compressed=0):
    content, places = b'', []
    for entries in blocks:
        data = block(entries, compressed)
        places.append((entries[-1][0], varint(len(content)) + varint(len(data) - 5)))
        content += data
    meta = varint(len(content)) + varint(8)
    content += block([])
    index = block(places)
    footer = meta + varint(len(content)) + varint(len(index) - 5)
    return content + index + footer.ljust(40, b'\0') + struct.pack('<Q', MAGIC)


@pytest.fixture
def checkpoint(tmp_path):
    kernel = np.arange(300, dtype='<f4').reshape(3, 100)
    blocks = [[(b'', b'\x08\x01'), (b'layer-1/bias', entry((2, ), 1200, 8)),
               (b'layer-1/kernel', entry((3, 100), 0, 1200))],
              [(b'step', entry((), 1208, 8, dtype=9))]]
    (tmp_path / 'v.index').write_bytes(table(blocks))
    (tmp_path / 'v.data-00000-of-00001').write_bytes(
        kernel.tobytes() + np.array([5, 6], '<f4').tobytes() + struct.pack('<q', 7))
    return tmp_path / 'v'


def test_names_shapes_and_values(checkpoint):
    index = read_index(f'{checkpoint}.index')
    assert list(index) == ['layer-1/bias', 'layer-1/kernel', 'step']
    assert index['layer-1/kernel'][:2] == (1, (3, 100)) and index['step'].shape == ()
    found = read_variables(checkpoint)
    assert set(found) == {'layer-1/bias', 'layer-1/kernel'}  # floats alone
    np.testing.assert_array_equal(found['layer-1/kernel'], np.arange(300).reshape(3, 100))
    np.testing.assert_array_equal(found['layer-1/bias'], [5, 6])


def test_what_is_no_checkpoint_or_half_of_one_is_refused(checkpoint):
    index, data = Path(f'{checkpoint}.index'), Path(f'{checkpoint}.data-00000-of-00001')
    whole = index.read_bytes()
    data.write_bytes(data.read_bytes()[:600])
    with pytest.raises(MultiSSLError, match='is not where the index says'):
        read_variables(checkpoint)
    for content, text in ((b'', 'no index'), (whole[:-1], 'no index'),
                          (whole[20:], 'the index is damaged'),
                          (table([[(b'a', entry((2, ), 0, 8))]], 1), 'a compressed block')):
        index.write_bytes(content)
        with pytest.raises(MultiSSLError, match=text):
            read_index(index)
    index.unlink()
    with pytest.raises(MultiSSLError, match='no such file'):
        read_variables(checkpoint)
