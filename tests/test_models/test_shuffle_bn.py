"""Rows that are dealt to all ranks for a pass of the momentum encoder, and come home."""
import pytest
import tiny
import torch
from mmengine.dist import get_rank
from mmengine.registry import MODELS
from ranks import on_ranks, sync_norms

from multissl_mm.models.contrast import shuffle, unshuffle


def there_and_back(sizes):
    """For every batch size: rows of this rank's own number, what was dealt, what came home."""
    torch.manual_seed(get_rank())  # as EpochSeedHook does, every rank has its own
    out = []
    for n in sizes:
        x = (100. * get_rank() + torch.arange(n)).view(n, 1, 1).repeat(1, 2, 3)
        dealt, state = shuffle(x)
        home = unshuffle([dealt, 2 * dealt[:, 0], 3 * dealt[:, 0, 0], dealt.unsqueeze(3)], state)
        out.append((x, dealt, home))
    return out


@pytest.mark.parametrize('world', [2, 3])
def test_rows_are_dealt_to_all_ranks_and_come_home(tmp_path, world):
    sizes = [12, 7, 8, world, 1]
    for i, batches in enumerate(zip(*on_ranks(tmp_path, there_and_back, sizes, world=world))):
        sent = torch.cat([x for x, _, _ in batches])
        received = torch.cat([dealt for _, dealt, _ in batches])
        assert torch.equal(received[:, 0, 0].sort().values, sent[:, 0, 0])  # each row once
        for x, dealt, home in batches:
            if sizes[i] >= world:  # in the company of rows of all ranks, in equal shares
                shares = torch.bincount((dealt[:, 0, 0] // 100).long(), minlength=world)
                assert shares.max() - shares.min() <= 1
            for found, expected in zip(home, (x, 2 * x[:, 0], 3 * x[:, 0, 0], x.unsqueeze(3))):
                assert torch.equal(found, expected)


def encode(model, views):
    """Key features of this rank's share of a batch, and the batch its momentum backbone saw."""
    seen = []
    model.momentum_backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    torch.manual_seed(get_rank())
    feats = model.encode_keys({k: v.chunk(2)[get_rank()] for k, v in views.items()}, ['key'])
    batch, = seen
    return batch, feats['key']


@pytest.fixture
def model(scope):
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='multissl_mm.MultiTask', backbone=dict(tiny.backbone(), out_indices=(2, 3)),
        tasks=[dict(tiny.moco_task(), name='m')]))
    model.init_weights()
    return model.train()


VIEWS = dict(key=torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(3)))


def test_keys_are_normalised_over_rows_of_all_ranks(tmp_path, model):
    """Each key's features are those of the shuffled batch that it was dealt to."""
    ranks = on_ranks(tmp_path, encode, model, VIEWS)
    outs = [model.momentum_backbone(batch) for batch, _ in ranks]
    pictures, outs = torch.cat([batch for batch, _ in ranks]), [torch.cat(o) for o in zip(*outs)]
    for rank, ((batch, feats), own) in enumerate(zip(ranks, VIEWS['key'].chunk(2))):
        from_here = [bool((picture == own).flatten(1).all(1).any()) for picture in batch]
        assert sum(from_here) in (2, 3), rank  # of 5 rows
        where = [int((pictures == picture).flatten(1).all(1).nonzero()) for picture in own]
        for found, out in zip(feats, outs):
            torch.testing.assert_close(found, out[where], atol=1e-5, rtol=1e-5)
        alone = model.momentum_backbone(own)
        assert not torch.allclose(feats[-1], alone[-1], atol=1e-3)


@pytest.mark.parametrize('norm', ['running statistics', 'over all ranks'])
def test_shuffling_changes_nothing_where_a_batch_is_no_company(tmp_path, model, norm):
    if norm == 'over all ranks':
        sync_norms(model)
    else:
        model.eval()
    found = [feats for _, feats in on_ranks(tmp_path, encode, model, VIEWS)]
    for stage, expected in enumerate(model.encode_keys(VIEWS, ['key'])['key']):
        torch.testing.assert_close(torch.cat([feats[stage] for feats in found]), expected,
                                   atol=1e-5, rtol=1e-5)
