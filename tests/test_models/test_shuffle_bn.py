"""Rows that are dealt to all ranks for a pass of the momentum encoder, and come home."""
import pytest
import tiny
import torch
from mmengine.dist import get_rank
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS
from ranks import on_ranks, sync_norms

from multissl_mm.models.contrast import shuffle, shuffle_bn, unshuffle


def there_and_back(sizes):
    """For every batch size: rows of this rank's own number, what was dealt, what came home."""
    torch.manual_seed(get_rank())  # as EpochSeedHook does, every rank has its own
    out = []
    for n in sizes:
        x = (100. * get_rank() + torch.arange(n)).view(n, 1, 1).repeat(1, 2, 3)
        # Types of every width, so that some begin at odd places.
        (dealt, small), state = shuffle([x, x[:, 0, 0].to(torch.uint8)])
        assert torch.equal(dealt[:, 0, 0].to(torch.uint8), small)
        home = unshuffle([small, 2 * dealt[:, 0].half(), 3 * dealt[:, 0, 0], dealt.unsqueeze(3),
                          dealt.double().transpose(1, 2)], state)
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
            expected = (x[:, 0, 0].to(torch.uint8), 2 * x[:, 0].half(), 3 * x[:, 0, 0],
                        x.unsqueeze(3), x.double().transpose(1, 2))
            for found, wanted in zip(home, expected):
                assert found.dtype == wanted.dtype and torch.equal(found, wanted)


def test_on_one_rank_nothing_is_dealt():
    x = torch.randn(3, 2)
    (dealt, ), state = shuffle([x])
    home, = unshuffle([dealt], state)
    assert dealt is x and home is x


def share(views):
    """Those of this rank, of two."""
    return {name: view.chunk(2)[get_rank()] for name, view in views.items()}


def encode(model, views):
    """The batch that the momentum backbone saw, and keys of this rank's share of the views."""
    seen = []
    model.momentum_backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    torch.manual_seed(get_rank())
    keys = list(model.encode_keys(share(views), list(model.tasks.values())).values())
    batch, = seen
    return batch, [feats['key'] for feats in keys]


def learn(model, views):
    """A step as a run makes it: key views that were dealt, and bytes of a row in each exchange."""
    seen, sent, exchange = [], [], shuffle_bn._exchange
    model.momentum_backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))

    def spy(rows, splits):
        sent.append(rows.element_size() * rows[0].numel())
        return exchange(rows, splits)

    shuffle_bn._exchange = spy
    run = MMDistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=True)
    run.train_step(dict(inputs=share(views), data_samples=None),
                   OptimWrapper(torch.optim.SGD(model.parameters(), .1)))
    return *seen, sent


def build(*tasks, **options):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='multissl_mm.MultiTask', tasks=[
        dict(task, name=f'task{i}') for i, task in enumerate(tasks)],
        **dict(dict(backbone=tiny.backbone()), **options)))
    model.init_weights()
    return model.train()


@pytest.fixture
def model(scope):
    """One task takes the features of its keys, from two stages, another one a vector of them."""
    return build(tiny.densecl_task(), tiny.moco_task(),
                 backbone=dict(tiny.backbone(), out_indices=(2, 3)))


VIEWS = dict(key=torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(3)))


def outputs(model, batch):
    """What the two tasks take of the keys of a batch."""
    feats = model.momentum_backbone(batch)
    return [*feats, *model.tasks['task1'].momentum_neck(feats[-1:])]


def test_keys_are_normalised_over_rows_of_all_ranks(tmp_path, model):
    """Each key's features are those of the shuffled batch that it was dealt to."""
    ranks = on_ranks(tmp_path, encode, model, VIEWS)
    outs = [outputs(model, batch) for batch, _ in ranks]
    pictures, outs = torch.cat([batch for batch, _ in ranks]), [torch.cat(o) for o in zip(*outs)]
    for rank, ((batch, keys), own) in enumerate(zip(ranks, VIEWS['key'].chunk(2))):
        from_here = [bool((picture == own).flatten(1).all(1).any()) for picture in batch]
        assert sum(from_here) in (2, 3), rank  # of 5 rows
        where = [int((pictures == picture).flatten(1).all(1).nonzero()) for picture in own]
        found = [x for feats in keys for x in feats]
        assert len(found) == len(outs) == 3
        for x, out, alone in zip(found, outs, outputs(model, own)):
            torch.testing.assert_close(x, out[where], atol=1e-5, rtol=1e-5)
            assert not torch.allclose(x, alone, atol=1e-3)


@pytest.mark.parametrize('norm', ['running statistics', 'over all ranks'])
def test_shuffling_changes_nothing_where_a_batch_is_no_company(tmp_path, model, norm):
    if norm == 'over all ranks':
        sync_norms(model)
    else:
        model.eval()
    found = [keys for _, keys in on_ranks(tmp_path, encode, model, VIEWS)]
    expected = model.encode_keys(VIEWS, list(model.tasks.values())).values()
    for task, feats in enumerate(expected):
        for stage, x in enumerate(feats['key']):
            torch.testing.assert_close(torch.cat([keys[task][stage] for keys in found]), x,
                                       atol=1e-5, rtol=1e-5)


PIXELS = torch.randint(256, (2, 4, 3, 32, 32), dtype=torch.uint8,
                       generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize('tasks, back', [
    ([tiny.moco_task()], 16 * 4),  # a vector; the map of 64 channels at one position stays away
    ([tiny.moco_task(), tiny.densecl_task()], 16 * 4 + tiny.CHANNELS * 4),
])
def test_what_a_picture_takes_on_the_way(scope, tmp_path, tasks, back):
    """Pixels there, in a quarter of the bytes of floats; back what tasks need. Once each way."""
    model = build(*tasks, data_preprocessor=dict(
        type='multissl_mm.ViewPreprocessor', mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375]))
    ranks = on_ranks(tmp_path, learn, model, dict(zip(('query', 'key'), PIXELS)))
    assert all(sent == [3 * 32 * 32, back] for _, sent in ranks)
    views = model.data_preprocessor(dict(inputs=PIXELS[1]))['inputs']
    dealt = torch.cat([batch for batch, _ in ranks])
    assert {tuple(row.tolist()) for row in dealt.flatten(1)} == {
        tuple(row.tolist()) for row in views.flatten(1)}
