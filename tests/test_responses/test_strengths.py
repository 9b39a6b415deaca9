"""How hard every kind of keeping old responses pulls: the numbers that docs/configs.md states.

M6, M7: lengths of gradients on a unit vector (a response, or the direction of features) that has
moved away from the old one to a given cosine, against that of InfoNCE in training, on a positive at
a cosine of 0.8. Vectors are 512-d with a power-law spectrum, the temperature of InfoNCE is 0.2.
"""
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from multissl_mm.models import TaskBatch, info_nce
from multissl_mm.models.heads import QueueContrastHead
from multissl_mm.responses import CaSSLe, FeatureDistillation, PredictiveDistillation

COSINES = (.99, .9, .7)
DIM, BATCH, QUEUE = 512, 256, 8192
#: Mean square of a feature; it is what `mean_squared` is weaker by than `unit`.
SQUARE = .2
TASK = SimpleNamespace(
    views=('query', ), other_views={}, projections=dict(q=('query', )),
    responses=lambda batch, layers=None: dict(query=batch.features['query'][-1]))


def contrast(distill, temperature):
    head = QueueContrastHead(distill=distill, distill_temperature=temperature)
    return lambda q, old, queue: head.distill_loss(q, old, queue)


def kind(distill, scale=1.):
    """The loss of a distillation on vectors, with predictors that change nothing."""
    distill.predictors = nn.ModuleDict(dict(m=nn.ModuleDict(dict(q=nn.Identity()))))
    if isinstance(distill, PredictiveDistillation):
        distill.predictors['m'] = nn.Identity()

    def loss(q, old, queue):
        batch = TaskBatch(features=dict(query=(scale * q, )))
        return distill.loss('m', TASK, batch, dict(query=scale * old)).losses['loss_distill']

    return loss


STRENGTHS = {
    'kl, T = 0.2': (contrast('kl', .2), (.05, .14, .23)),
    'kl, T = 0.1': (contrast('kl', .1), (.14, .43, .79)),
    'kl, T = 0.07': (contrast('kl', .07), (.25, .77, 1.4)),
    'info_nce': (contrast('info_nce', .2), (.35, .74, 1.2)),
    'unit': (kind(FeatureDistillation(['m'])), (.09, .29, .47)),
    'mean_squared': (kind(FeatureDistillation(['m'], 'mean_squared'), (SQUARE * DIM)**.5),
                     (.02, .06, .09)),
    'predictive': (kind(PredictiveDistillation(['m'], DIM, 1)), (.05, .14, .24)),
    'CaSSLe': (kind(CaSSLe(['m'])), (.28, .62, 1.1)),
}


def length(loss, q):
    """Mean length of the gradients of a loss along the sphere that q (P, C) are on."""
    q = q.clone().requires_grad_()
    (loss(q) * len(q)).backward()
    along = q.grad - (q.grad * q).sum(1, keepdim=True) * q
    return along.norm(dim=1).mean().item()


@pytest.fixture(scope='module')
def vectors():
    """Old responses (P, C), the queue (K, C), and the old ones moved away to a cosine."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.arange(1, DIM + 1)**-.5

    def draw(count):
        return F.normalize(torch.randn(count, DIM, generator=generator) * spectrum, dim=1)

    old, queue, away = draw(BATCH), draw(QUEUE), draw(BATCH)
    away = F.normalize(away - (away * old).sum(1, keepdim=True) * old, dim=1)
    return old, queue, lambda cosine: cosine * old + (1 - cosine**2)**.5 * away


@pytest.mark.parametrize('name', list(STRENGTHS))
def test_how_hard_it_pulls(vectors, name):
    old, queue, at = vectors
    loss, expected = STRENGTHS[name]
    trained = length(lambda q: info_nce(q, old, queue, .2), at(.8))
    found = [length(lambda q: loss(q, old, queue), at(cosine)) / trained for cosine in COSINES]
    assert found == pytest.approx(expected, rel=.1, abs=.01)
