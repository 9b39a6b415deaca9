"""Raw pixels against a network that learns: that it runs, and that it measures."""
from io import StringIO

import numpy as np
import pytest
import torch
from rich.console import Console

from multissl_mm.analysis.difficulty import augmented, measure_difficulty
from multissl_mm.errors import MultiSSLError


def test_of_few_pictures(tmp_path):
    """The same again, of the pictures that are there."""
    console = Console(file=StringIO(), width=200)
    first, second = (measure_difficulty(tmp_path, 32, 1, 4, console=console) for _ in range(2))
    assert len(first.classes) > 2
    for numbers in first[1:]:
        assert numbers.shape == (len(first.classes), ) and ((0 <= numbers) & (numbers <= 100)).all()
    assert first.gap == pytest.approx(first.network.mean() - first.raw.mean())
    assert first.classes == second.classes and first.gap == second.gap
    said = console.file.getvalue()
    assert '16 pictures to learn from' in said and f'{first.gap:.1f}' in said
    with pytest.raises(MultiSSLError, match='4 batches'):
        measure_difficulty(tmp_path, 12, 1, 4)


def test_pictures_are_moved_and_mirrored_by_the_generator():
    images = torch.arange(96 * 96, dtype=torch.float).view(1, 1, 96, 96).repeat(6, 3, 1, 1)
    a, b = (augmented(images, torch.Generator().manual_seed(0)) for _ in range(2))
    assert a.shape == images.shape and torch.equal(a, b)
    rising = (a[:, 0, 40, 41] > a[:, 0, 40, 40]).numpy()  # not where it is mirrored
    assert 0 < np.count_nonzero(rising) < 6
