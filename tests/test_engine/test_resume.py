"""Interrupted = uninterrupted, bit for bit (CPU, checkpoints at epoch boundaries)."""
import pytest
import tiny
import torch
from runs import assert_same, last_checkpoint, train

# 24 images in batches of 8: 3 steps an epoch, epochs 1-2 are stage 1, epochs 3-4 are stage 2.
STAGE_1, RECORD, SAVE, STAGE_2 = 'iter:5', 'record', 'save:3', 'iter:11'
SOURCES = dict(stored={}, teacher=dict(model__responses=dict(source='teacher', replicas=2)))


@pytest.fixture(scope='module')
def never_killed(images, tmp_path_factory):
    """Folders of whole runs, without workers, by the source of their responses."""
    folders = {source: tmp_path_factory.mktemp(source) for source in SOURCES}
    for source, folder in folders.items():
        train(tiny.tiny_config('il_mocov2_densecl', images, folder, **SOURCES[source]))
    return folders


@pytest.mark.parametrize('source, workers, kills', [
    ('stored', 0, [STAGE_1, RECORD, SAVE, STAGE_2]),
    ('stored', 2, [STAGE_1, RECORD, SAVE, STAGE_2]),
    ('teacher', 0, [STAGE_2]),
])
def test_killed_and_resumed_equals_never_killed(images, never_killed, tmp_path, source, workers,
                                                kills):
    def config():
        return tiny.tiny_config('il_mocov2_densecl', images, tmp_path,
                                train_dataloader__num_workers=workers,
                                train_dataloader__persistent_workers=workers > 0,
                                **SOURCES[source])

    for kill_at in kills:
        train(config(), kill_at)
    train(config())

    whole, broken = last_checkpoint(never_killed[source]), last_checkpoint(tmp_path)
    assert whole['meta']['epoch'] == broken['meta']['epoch'] == 4
    assert int(whole['state_dict']['stage']) == 1
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(whole[key], broken[key], key)
    # What the comparison covers: weights, momentum weights, queues, and a state that moved.
    keys = ' '.join(whole['state_dict'])
    assert all(part in keys for part in ('backbone.', 'momentum_backbone.', 'momentum_neck.',
                                         'queues.dense.keys', 'queues.dense.ptr'))
    assert whole['optimizer']['state']
    for epoch in range(1, 5):  # every checkpoint that has its name loads
        torch.load(tmp_path / f'epoch_{epoch}.pth', weights_only=False)
    assert not list((tmp_path).rglob('*.partial'))  # R5: nor is anything left of a kill
