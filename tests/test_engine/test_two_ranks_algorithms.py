"""Algorithms whose mathematics spans ranks, on two gloo ranks started as a user starts them."""
import math

import pytest
import tiny
import torch
from test_two_ranks import dumps, launch


def config(name, images, tmp_path, out, batch_size, **options):
    return tiny.tiny_config(
        name, images, tmp_path / out, train_dataloader__batch_size=batch_size,
        custom_hooks=[dict(type='multissl_mm.DumpHook', out=str(tmp_path / out))], **options)


@pytest.mark.parametrize('name', [
    'mtl-pcgrad_mocov2_densecl',
    'mtl_byol_mocov2',
    pytest.param('progressive_mocov2_densecl', marks=pytest.mark.slow),
    'contrastive-dist_mocov2_densecl',
    pytest.param('il_simclr_densecl', marks=pytest.mark.slow),
])
def test_two_ranks_end_with_the_same_weights(images, tmp_path, name):
    cfg = config(name, images, tmp_path, 'two', 4)
    if 'byol' in name:  # what a config for GPUs says
        for task in cfg.model.tasks:
            if 'algorithm' in task:
                task.algorithm.neck.norm_cfg.type = 'SyncBN'
    launch(cfg, tmp_path / 'two.py', 2)
    a, b = dumps(tmp_path, 'two', 2)
    for key, value in a['state'].items():
        # Batch norms keep the statistics of their own rank's batches.
        if 'running_' not in key:
            assert torch.equal(value, b['state'][key]), key
    for rank in (a, b):
        assert all(math.isfinite(v) for losses in rank['losses'] for v in losses.values())
    assert set(a['views']).isdisjoint(b['views'])
