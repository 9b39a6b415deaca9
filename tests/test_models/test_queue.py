import pytest
import torch

from multissl_mm.models import NegativeQueue


def reference(history, length):
    """The last ``length`` keys, by a plain Python list."""
    flat = [key for keys in history for key in keys]
    return {tuple(key.tolist()) for key in flat[-length:]}


@pytest.mark.parametrize('batches', [[4, 4, 4], [3, 5, 2, 7], [10], [25], [1] * 13])
def test_queue_holds_the_last_keys_for_any_batch_size(batches):
    queue, history = NegativeQueue(10, 3), []
    start = list(queue.keys.clone())
    for n in batches:
        keys = torch.randn(n, 3)
        queue.enqueue(keys)
        history.append(list(keys))
    assert {tuple(k.tolist()) for k in queue.keys} == reference([start, *history], 10)
    assert int(queue.ptr) == sum(min(n, 10) for n in batches) % 10


def test_reset_gives_unit_vectors_and_a_fresh_pointer():
    queue = NegativeQueue(32, 8)
    queue.enqueue(torch.ones(5, 8))
    queue.reset()
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(32))
    assert int(queue.ptr) == 0


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match='queue_len'):
        NegativeQueue(0, 4)
