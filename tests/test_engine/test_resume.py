"""Interrupted = uninterrupted, bit for bit (CPU, checkpoints at epoch boundaries)."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import runs
import tiny
import torch
from runs import assert_same, last_checkpoint

ROOT = Path(__file__).parents[2]
# 24 images in batches of 8: 3 steps an epoch, epochs 1-2 are stage 1, epochs 3-4 are stage 2.
STAGE_1, RECORD, SAVE, STAGE_2 = 'iter:5', 'record', 'save:3', 'iter:11'


def train_by_command(cfg, path, kill_at=None):
    """As a user does, in a process of its own."""
    if kill_at:
        cfg.custom_imports = dict(imports=['multissl_mm', 'kill_hook'])
        cfg.custom_hooks = [dict(type='multissl_mm.KillHook', at=kill_at)]
    else:
        cfg.custom_imports = dict(imports=['multissl_mm'])
        cfg.custom_hooks = []
    cfg.dump(path)
    env = dict(os.environ, PYTHONPATH=f'{ROOT}:{ROOT / "tests"}', OMP_NUM_THREADS='1')
    run = subprocess.run([sys.executable, ROOT / 'tools/train.py', path, '--resume'], env=env,
                         capture_output=True, text=True)
    if kill_at:
        assert run.returncode == -9, run.stdout[-2000:] + run.stderr[-4000:]
    else:
        assert run.returncode == 0, run.stderr[-4000:]


@pytest.mark.parametrize('source, workers, kills', [
    ('stored', 0, [STAGE_1, RECORD, SAVE, STAGE_2]),
    ('stored', 2, [STAGE_1, RECORD, SAVE, STAGE_2]),
    ('teacher', 0, [STAGE_2]),
])
def test_killed_and_resumed_equals_never_killed(images, tmp_path, source, workers, kills):
    def config(name):
        cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / name,
                               train_dataloader__num_workers=workers,
                               train_dataloader__persistent_workers=workers > 0)
        if source == 'teacher':
            cfg.model.responses = dict(source='teacher', replicas=2)
        return cfg

    def train(name, kill_at=None):
        if workers:
            train_by_command(config(name), tmp_path / f'{name}.py', kill_at)
        else:  # in a fork, which has nothing to import
            runs.train(config(name), kill_at)

    train('whole')
    for kill_at in kills:
        train('broken', kill_at)
    train('broken')

    whole, broken = last_checkpoint(tmp_path / 'whole'), last_checkpoint(tmp_path / 'broken')
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
        torch.load(tmp_path / 'broken' / f'epoch_{epoch}.pth', weights_only=False)
    assert not list((tmp_path / 'broken').rglob('*.partial'))  # R5: nor is anything left of a kill
