import enum
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from multissl_mm.utils.digest import digest, state_digest


class Thing:

    def __init__(self, size, inner=None):
        self.size, self.inner, self.of = size, inner, len


class Kind(enum.Enum):
    A = 1
    B = 2


DIFFERENT = [None, 0, 1, True, 1., '1', b'1', [], {}, [1], [1, [2]], [[1], 2], {'a': 1}, {'a': 2},
             {1, 2}, Thing(1), Thing(2), Thing(1, Thing(3)), Kind.A, Kind.B, len, sum, Thing,
             np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1)), torch.ones(2),
             partial(int, base=2), partial(int, base=3), np.float32(3)]


def test_different_things_have_different_digests():
    assert len({digest(thing) for thing in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize('a, b', [
    (Thing(1, Thing(2)), Thing(1, Thing(2))), ({'a': 1, 'b': 2}, {'b': 2, 'a': 1}),
    ((1, 2), [1, 2]), (torch.arange(3), torch.arange(3)), (set('abc'), set('cba')),
])
def test_equal_things_have_equal_digests(a, b):
    assert digest(a) == digest(b)


def test_things_that_hold_themselves_have_an_end():
    thing = Thing(1)
    thing.inner = thing
    assert digest(thing) != digest(Thing(1))


def test_another_process_agrees():
    code = "from multissl_mm.utils.digest import digest; print(digest([set('abcdef'), {'a': len}]))"
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert out.stdout.split()[-1] == digest([set('abcdef'), {'a': len}])


def test_state_digest():
    torch.manual_seed(0)
    layer = nn.Linear(2, 2)
    before = state_digest(layer)
    assert len(before) == 32 and state_digest(layer) == before
    with torch.no_grad():
        layer.bias[0] += 1e-6
    assert state_digest(layer) != before
