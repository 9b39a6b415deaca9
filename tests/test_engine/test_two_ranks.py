"""Runs on two gloo ranks: they agree, see the views of one rank, and resume.

That they learn what one rank learns is in test_ranks_equal_one; that tools/dist_train.sh starts
them, in test_train.
"""
import pytest
import runs
import tiny
import torch


def config(images, tmp_path, name, batch_size):
    return tiny.tiny_config('il_mocov2_densecl', images, tmp_path / name,
                            train_dataloader__batch_size=batch_size)


def test_two_ranks_agree_see_the_views_of_one_and_resume(images, tmp_path):
    one = runs.dumped(config(images, tmp_path, 'one', 8))
    a, b = runs.on_two_ranks(tmp_path / 'ranks', config(images, tmp_path, 'two', 4))
    assert sorted(one['views']) == sorted(a['views'] + b['views'])
    assert torch.equal(a['state']['responses.recorded'], b['state']['responses.recorded'])
    assert int(a['state']['stage']) == 1
    for rank in (a, b):
        assert len(rank['losses']) == 12
        assert 'mocov2.loss_distill' in rank['losses'][-1]

    # Resumed from the end of stage 1, it crosses the boundary again and ends with the same.
    cfg = config(images, tmp_path, 'again', 4)
    cfg.model.responses.root = str(tmp_path / 'two' / 'responses')
    c, _ = runs.on_two_ranks(tmp_path / 'ranks_again', cfg,
                             resume=str(tmp_path / 'two/epoch_2.pth'))
    assert len(c['losses']) == 6
    for key, value in a['state'].items():
        if 'running_' not in key:
            assert torch.equal(value, c['state'][key]), key


@pytest.mark.parametrize('name', [
    'mtl-pcgrad_mocov2_densecl',
    'mtl_byol_mocov2',
    'rehearsal_mocov2_densecl',
    'progressive_mocov2_densecl',
    'contrastive-dist_mocov2_densecl',
    'il_simclr_densecl',
])
def test_two_ranks_end_with_the_same_weights(images, tmp_path, name):
    cfg = tiny.tiny_config(name, images, tmp_path / 'two', train_dataloader__batch_size=4)
    if 'byol' in name:  # what a config for GPUs says
        for task in cfg.model.tasks:
            if 'algorithm' in task:
                task.algorithm.neck.norm_cfg.type = 'SyncBN'
    runs.on_two_ranks(tmp_path / 'ranks', cfg)


def test_ranks_with_seeds_of_their_own_share_queues_and_predictors(images, tmp_path):
    """What a new stage draws (queues, CaSSLe's predictors) is the same on all ranks, for good."""
    cfg = tiny.tiny_config('il-cassle_mocov2_densecl', images, tmp_path / 'two',
                           train_dataloader__batch_size=4, train_cfg__stages=[1, 1],
                           randomness=dict(seed=0, diff_rank_seed=True))
    # Views have keys of the sampler's seed, which MMEngine makes the same on all ranks.
    runs.on_two_ranks(tmp_path / 'ranks', cfg)
