"""Stored responses on two gloo ranks: what one rank with the whole batch gets (R3, R4)."""
import numpy as np
import pytest
import tiny
import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from ranks import on_ranks
from runs import dumped

from multissl_mm.errors import MultiSSLError
from multissl_mm.responses import recording, sharing


def config(name, images, tmp_path, out, **options):
    cfg = tiny.tiny_config(name, images, tmp_path / out, **options)
    if 'stages' in cfg.train_cfg:
        cfg.train_cfg.stages = [1, 1]
    # Group norms: batch norms see what is on their own rank.
    for backbone in (cfg.model.backbone, *(e.backbone for e in cfg.model.get('experts', []))):
        backbone.norm_cfg = dict(type='GN', num_groups=4)
    return cfg.to_dict()


def train(cfg):
    """On every rank, which gets its part of the batch of 8."""
    cfg = Config(cfg)
    cfg.train_dataloader.batch_size = 8 // get_world_size()
    try:
        return dumped(cfg)
    except MultiSSLError as error:
        return str(error)


def train_on_two(tmp_path, cfg):
    return on_ranks(tmp_path / 'ranks', train, cfg)


def responses(root):
    return {p.relative_to(root): np.load(p) for p in sorted(root.rglob('*.npy'))}


@pytest.mark.parametrize('name', ['il_mocov2_densecl', 'euclidean-dist_mocov2_densecl'])
def test_two_ranks_equal_one_rank_on_the_whole_batch(images, tmp_path, name):
    one = train(config(name, images, tmp_path, 'one'))
    ranks = train_on_two(tmp_path, config(name, images, tmp_path, 'two'))
    assert len(one['losses']) == len(ranks[0]['losses']) > 0
    for step, whole in enumerate(one['losses']):
        for key, value in whole.items():
            parts = [rank['losses'][step][key] for rank in ranks]
            assert sum(parts) / 2 == pytest.approx(value, abs=1e-5), (step, key)
    for key, value in one['state'].items():
        # Queues hold the same keys in another order: those of a step rank by rank.
        if value.is_floating_point() and 'queues' not in key:
            torch.testing.assert_close(ranks[0]['state'][key], value, atol=1e-5, rtol=0)
    # Which rank recorded a shard makes no difference.
    expected, found = (responses(tmp_path / run / 'responses') for run in ('one', 'two'))
    assert expected.keys() == found.keys() and len(found) >= 6
    for path, rows in expected.items():
        np.testing.assert_allclose(found[path], rows, atol=1e-5)


def test_a_bank_that_is_not_shared_is_noticed_before_it_is_recorded(images, tmp_path, monkeypatch):
    """R3: half of the shards lay on each node when it was noticed."""
    def on_this_node(root, *args, **kwargs):
        return bank(tmp_path / f'node{get_rank()}', *args, **kwargs)

    bank = recording.ResponseBank
    monkeypatch.setattr(recording, 'ResponseBank', on_this_node)
    monkeypatch.setattr(sharing, 'VISIBLE_WITHIN', .5)
    errors = train_on_two(tmp_path, config('il_mocov2_densecl', images, tmp_path, 'run'))
    for error in errors:
        assert 'is not the same folder for all processes' in error
    assert not list(tmp_path.glob('node*/**/*.npy'))
