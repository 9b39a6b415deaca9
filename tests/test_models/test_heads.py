import pytest
import torch
import torch.nn.functional as F

from multissl_mm.models import QueueContrastHead, info_nce, queue_softmax, similarity_kl
from multissl_mm.models.heads import queue_contrast_head


@pytest.fixture(autouse=True, params=[4, 1000])
def chunk(request, monkeypatch):
    """All identities hold whether or not the queue is cut into chunks."""
    monkeypatch.setattr(queue_contrast_head, 'CHUNK', request.param)


def vectors(*shape):
    return F.normalize(torch.randn(*shape, dtype=torch.float32), dim=-1)


@pytest.mark.parametrize('temperature', [0.05, 0.2, 1.])
def test_info_nce_and_its_gradient_equal_cross_entropy(temperature):
    torch.manual_seed(0)
    q, k, queue = vectors(6, 8), vectors(6, 8), vectors(30, 8)
    a, b = q.clone().requires_grad_(), q.clone().requires_grad_()
    logits = torch.cat([(a * k).sum(1, keepdim=True), a @ queue.t()], 1) / temperature
    expected = F.cross_entropy(logits, torch.zeros(6, dtype=torch.long))
    loss = info_nce(b, k, queue, temperature)
    expected.backward()
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(b.grad, a.grad)


def test_similarity_kl_equals_the_definition_and_vanishes_on_itself():
    torch.manual_seed(0)
    q, old, queue = vectors(6, 8).requires_grad_(), vectors(6, 8), vectors(30, 8)
    expected = F.kl_div(F.log_softmax(q @ queue.t() / .2, 1), F.softmax(old @ queue.t() / .2, 1),
                        reduction='batchmean')
    torch.testing.assert_close(similarity_kl(q, old, queue, .2), expected)
    zero = similarity_kl(q, q.detach(), queue, .2)
    zero.backward()
    assert abs(zero.item()) < 1e-6 and q.grad.abs().max() < 1e-6


def test_weighted_mean_is_the_softmax_mean():
    q, queue = vectors(5, 8), vectors(30, 8)
    _, mean = queue_softmax(q, queue, .2)
    torch.testing.assert_close(mean, F.softmax(q @ queue.t() / .2, 1) @ queue)


def test_temperatures_that_float32_cannot_hold_are_refused():
    with pytest.raises(ValueError, match='temperature'):
        QueueContrastHead(temperature=0.001).loss(vectors(2, 4), vectors(2, 4), vectors(9, 4))


def test_bf16_autocast_stays_close():
    q, k, queue = vectors(6, 8), vectors(6, 8), vectors(30, 8)
    with torch.autocast('cpu', torch.bfloat16):
        low = info_nce(q.bfloat16(), k.bfloat16(), queue, .2)
    torch.testing.assert_close(low, info_nce(q, k, queue, .2), atol=2e-2, rtol=0)
