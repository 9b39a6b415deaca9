"""Runs on data as people have them: in several places, and not all of it whole."""
import shutil
from pathlib import Path

import tiny
import torch
from ranks import on_ranks
from runs import dumped, train_here


def test_old_responses_to_several_datasets(scope, images, tmp_path):
    """Bug 12: stored responses and resuming, in the middle of the second stage."""
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'run')
    assert cfg.model.responses.source == 'stored'
    inner = cfg.train_dataloader.dataset.dataset.to_dict()
    cfg.train_dataloader.dataset = dict(type='multissl_mm.KeyedDataset', dataset=dict(
        type='ConcatDataset', datasets=[inner, dict(inner, data_root=str(shutil.copytree(
            images, tmp_path / 'more')))]))
    whole = train_here(cfg.copy()).model.state_dict()
    cfg.load_from, cfg.resume = str(tmp_path / 'run' / 'epoch_3.pth'), True
    resumed = train_here(cfg).model.state_dict()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_files_left_out_on_all_ranks_are_listed(images, tmp_path):
    """F20: also those that only the worker of another rank has met."""
    root = shutil.copytree(images, tmp_path / 'data')
    files = sorted(Path(root).rglob('*.JPEG'))[3:6]
    for file in files:
        file.write_bytes(b'')
    cfg = tiny.worker_views(tiny.tiny_config('mocov2', root, tmp_path / 'run',
                                             train_cfg__max_epochs=1))
    cfg.train_dataloader.merge(dict(num_workers=1, batch_size=4, dataset=dict(max_skip=3)))
    on_ranks(tmp_path, dumped, cfg)
    logs = '\n'.join(log.read_text() for log in (tmp_path / 'run').rglob('*.log'))
    text = logs[logs.index('epoch 1: 3 damaged files were left out'):]
    assert all(text.count(file.name) == 1 for file in files) and text.count('it is empty') == 3
