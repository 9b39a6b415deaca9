"""A few photographs in the format of Fashion-MNIST, made here."""
import gzip
import struct
from pathlib import Path

import numpy as np

#: As many photographs of the training half and of the test half.
COUNTS = dict(train=40, t10k=20)


def write(folder: Path) -> Path:
    """The four files of the data set: photograph i is a filled box of brightness 60 + i."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in COUNTS.items():
        images = np.zeros((count, 28, 28), np.uint8)
        for i in range(count):
            images[i, 4:24, 8:20] = 60 + i + 100 * (split == 't10k')
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, magic, values in (('images-idx3', 2051, images), ('labels-idx1', 2049, labels)):
            head = struct.pack(f'>{1 + values.ndim}i', magic, *values.shape)
            (folder / f'{split}-{name}-ubyte.gz').write_bytes(
                gzip.compress(head + values.tobytes(), 1))
    return folder
