"""Stored responses and kept checkpoints in whole runs: reruns, resumed runs, shared banks."""
import os
import shutil

import pytest
import tiny
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from runs import assert_same, train_here

from multissl_mm.errors import MultiSSLError


class Watch(Hook):
    """Losses of every step, and what the samples bring."""

    def __init__(self):
        self.losses, self.kept = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({k: v.item() for k, v in outputs.items()})
        self.kept.append({name for s in data_batch['data_samples'] for name in s.get('kept', ())})


def train(cfg, name, prepare=lambda runner: None):
    watch = Watch()
    train_here(Config(cfg.to_dict()), watch, prepare=prepare)
    return watch


def config(images, path, **options):
    return tiny.tiny_config('il_mocov2_densecl', images, path, train_cfg__stages=[1, 1], **options)


def load(path):
    return torch.load(path, map_location='cpu', weights_only=False)


def files(root):
    return {p: p.stat().st_mtime_ns for p in root.rglob('*') if p.is_file()}


def test_a_rerun_keeps_its_own_stage(images, tmp_path):
    """R8: the stage's checkpoint was the one of the earlier run in that work directory."""
    for lr in (.03, .01):
        cfg = config(images, tmp_path, optim_wrapper__optimizer__lr=lr)
        cfg.model.responses.root = str(tmp_path / f'bank{lr}')
        train(cfg, f'rerun{lr}')
        kept = load(tmp_path / 'stage1_mocov2.pth')
        assert kept['meta']['epoch'] == 1
        assert_same(kept['state_dict'], load(tmp_path / 'epoch_1.pth')['state_dict'])


def test_a_resumed_run_keeps_what_it_was_resumed_from(images, tmp_path):
    """R8: also where its work directory, and with it the checkpoint, has moved since."""
    train(config(images, tmp_path / 'before'), 'before')
    shutil.move(tmp_path / 'before', tmp_path / 'moved')
    (tmp_path / 'moved' / 'stage1_mocov2.pth').unlink()
    before = files(tmp_path / 'moved' / 'responses')
    cfg = config(images, tmp_path / 'moved', load_from=str(tmp_path / 'moved' / 'epoch_1.pth'),
                 resume=True)
    train(cfg, 'resumed')
    assert_same(load(tmp_path / 'moved' / 'stage1_mocov2.pth')['state_dict'],
                load(tmp_path / 'moved' / 'epoch_1.pth')['state_dict'])
    assert files(tmp_path / 'moved' / 'responses') == before  # and records nothing anew


def test_responses_come_with_the_samples_from_the_workers(images, tmp_path, monkeypatch):
    """R9: the training process reads no bank; workers that persist learn of it by the keys."""
    from multissl_mm.responses.bank import ResponseBank
    whole = train(config(images, tmp_path / 'whole'), 'whole')
    read, here = ResponseBank.read, os.getpid()

    def only_in_workers(bank, replica, index):
        assert os.getpid() != here
        return read(bank, replica, index)

    monkeypatch.setattr(ResponseBank, 'read', only_in_workers)
    watch = train(config(images, tmp_path / 'workers', train_dataloader__num_workers=1,
                         train_dataloader__persistent_workers=True), 'workers')
    assert watch.kept == [set()] * 3 + [{'mocov2'}] * 3
    assert watch.losses == whole.losses


def test_only_the_views_of_responders_are_recorded(images, tmp_path):
    """R9"""
    seen = []

    def prepare(runner):
        model = runner.model
        respond = model.current_responses

        def spy(name, views, samples=None):
            seen.append((list(views), [s.replica for s in samples]))
            return respond(name, views, samples)

        model.current_responses = spy

    train(config(images, tmp_path), 'views', prepare)
    assert seen and all(views == ['query'] for views, _ in seen)
    assert {replica for _, replicas in seen for replica in replicas} == {0, 1}


def test_a_root_that_cannot_be_written_is_known_before_the_first_step(images, tmp_path):
    """F11: noticed when all of stage 1 was over."""
    (tmp_path / 'file').write_text('')
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'run')
    cfg.model.responses.root = str(tmp_path / 'file' / 'bank')
    with pytest.raises(MultiSSLError, match='file/bank/mocov2: responses could not be kept there'):
        train_here(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_room_for_all_responses_is_known_before_the_first_step(images, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    # 2 replicas of 24 samples in 3 shards each: 16 numbers of 4 bytes, and headers of 128
    needed = 2 * (24 * 16 * 4 + 3 * 128)
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'run', log_level='ERROR')
    cfg.model.responses.root = str(tmp_path / 'bank' / 'of it')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(
        free=needed - 1 if os.path.basename(path) != 'run' else usage.free))
    with pytest.raises(MultiSSLError, match=f'mocov2 need {needed / 1e9:.3g} GB more, .*root to'):
        train_here(cfg)
    assert not list(tmp_path.rglob('*.pth')) and not (tmp_path / 'bank').exists()


def test_a_complete_bank_may_be_read_only(images, tmp_path):
    cfg = config(images, tmp_path / 'a')
    train(cfg, 'a')
    bank = tmp_path / 'a' / 'responses'
    before, data = files(bank), files(images)
    for path in sorted(bank.rglob('*'), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        cfg = config(images, tmp_path / 'b')
        cfg.model.responses.root = str(bank)
        train(cfg, 'b')
    finally:
        for path in bank.rglob('*'):
            path.chmod(0o755)
    assert files(bank) == before and files(images) == data  # nor is anything beside the data


def test_a_damaged_shard_is_recorded_again_by_the_same_resume(images, tmp_path):
    train(config(images, tmp_path), 'first')
    expected = load(tmp_path / 'epoch_2.pth')['state_dict']
    shard = tmp_path / 'responses' / 'mocov2' / 'replica001' / 'q_00001.npy'
    shard.write_bytes(b'')
    cfg = config(images, tmp_path, load_from=str(tmp_path / 'epoch_1.pth'), resume=True)
    train(cfg, 'again')
    assert shard.stat().st_size
    assert_same(load(tmp_path / 'epoch_2.pth')['state_dict'], expected)


def test_a_stage_that_lacks_old_responses_does_not_start(images, tmp_path):
    """R7: in the middle of stage 2 with another work directory, say."""
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'a')
    train(cfg, 'a')
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'b',
                           load_from=str(tmp_path / 'a' / 'epoch_3.pth'), resume=True)
    with pytest.raises(MultiSSLError, match=r'lacks 6 of the 6 shards .*model.responses.root'):
        train(cfg, 'b')


@pytest.mark.parametrize('source', ['stored', 'teacher'])
def test_experts_answer_the_views_of_every_epoch(images, tmp_path, source):
    cfg = tiny.tiny_config('euclidean-dist_mocov2_densecl', images, tmp_path)
    cfg.model.responses = dict(source=source, replicas=1)
    watch = train(cfg, f'experts_{source}')
    experts = {expert.name for expert in cfg.model.experts}
    assert watch.kept == [experts if source == 'stored' else set()] * 6
