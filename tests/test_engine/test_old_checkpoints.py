"""Checkpoints that commit 77d0789 wrote load and resume, to the weights that it ended with itself.

tests/data/77d0789: checkpoints of the tiny run below, in stage 2 (teacher) and at the end of stage
1 (stored responses, which are recorded anew), and the weights after the last epoch.
"""
import lzma
from pathlib import Path

import pytest
import tiny
import torch
from mmengine.runner import Runner

DATA = Path(__file__).parents[1] / 'data' / '77d0789'
NARROW = dict(type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=2,
              norm_cfg=dict(type='BN'))


def unpacked(name, folder):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(lzma.decompress((DATA / f'{name}.xz').read_bytes()))
    return path


@pytest.mark.parametrize('source, epoch', [('teacher', 3), ('stored', 2)])
def test_resumed_to_the_same_weights(images, tmp_path, source, epoch):
    checkpoint = unpacked(f'{source}_epoch_{epoch}.pth', tmp_path)
    cfg = tiny.worker_views(tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'run'))
    cfg.model.backbone = NARROW
    for task in cfg.model.tasks:
        task.neck.update(in_channels=16, hid_channels=8, out_channels=8)
        task.update(feat_dim=8, queue_len=32)
    if source == 'teacher':
        cfg.model.responses = dict(source='teacher', replicas=2)
    cfg.load_from, cfg.resume = str(checkpoint), True
    cfg.experiment_name = f'resumed_{source}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 4 and int(runner.model.stage) == 1
    state = runner.model.state_dict()
    expected = torch.load(unpacked('final.pth', tmp_path), weights_only=True)
    assert expected.keys() <= state.keys()
    for key, value in expected.items():
        # Not to the bit: processors and their libraries differ.
        torch.testing.assert_close(state[key], value, atol=1e-4, rtol=1e-4, msg=key)
