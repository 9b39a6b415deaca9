"""A run goes on as it began, alone in its folder, or says what is otherwise."""
import errno
import multiprocessing
import os
import resource
import shutil
import tempfile
from pathlib import Path

import pytest
import tiny
import torch
import toy
from mmengine.config import Config
from mmengine.hooks import EMAHook, EmptyCacheHook
from ranks import on_ranks
from runs import assert_same, last_checkpoint

from multissl_mm import runtime
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import lock
from multissl_mm.runtime.continuity import essentials
from multissl_mm.runtime.processes import start_group
from multissl_mm.runtime.resume import candidates


def start(cfg, train=True, **options):
    cfg.experiment_name = f'{cfg.work_dir}_{len(list(Path(cfg.work_dir).glob("*")))}'
    options = runtime.RunOptions('config.py', **options)
    runner = runtime.build_runner(runtime.prepare_cfg(cfg, options), options)
    if train:
        runner.train()
    return runner


@pytest.fixture
def run(images, tmp_path):
    """A finished run of one epoch in tmp_path/work, and its config anew."""
    work = tmp_path / 'work'
    work.mkdir()

    def config(**options):
        options = dict(dict(train_cfg__max_epochs=1, default_hooks__checkpoint=dict(
            type='multissl_mm.AtomicCheckpointHook', interval=1)), **options)
        return tiny.tiny_config('mocov2', images, work, **options)

    start(config())
    return config


@pytest.mark.parametrize('change, said', [
    (dict(optim_wrapper__optimizer=dict(type='SGD', lr=.7)),
     'optimizer.lr 0.03 -> 0.7.*would change nothing'),
    (dict(optim_wrapper__optimizer=dict(type='Adam', lr=.03)), "type 'SGD' -> 'Adam'"),
    (dict(auto_scale_lr=dict(base_batch_size=8, enable=True)),
     'auto_scale_lr.enable nothing -> True')
])
def test_what_a_checkpoint_brings_cannot_be_changed(run, change, said):
    """F15, F18: tracebacks of the optimizer, or a learning rate that was ignored."""
    with pytest.raises(MultiSSLError, match=said):
        start(run(**change), resume='auto', accept_changes=True)


@pytest.mark.parametrize('change, said', [
    (dict(train_dataloader__batch_size=4), 'batch_size 8 -> 4, which means other batches'),
    (dict(model__backbone=dict(tiny.backbone(), frozen_stages=1)), 'frozen_stages nothing -> 1'),
    (dict(train_cfg__max_epochs=2), 'train_cfg.max_epochs 1 -> 2'),
    (dict(model__tasks=[dict(tiny.simclr_task(), name='mocov2')]),
     "tasks.0.type 'multissl_mm.MoCoV2Task' -> .multi"),
    (dict(data_preprocessor__mean=[0., 0., 0.]), 'data_preprocessor.mean.0 123.675 -> 0.0'),
    (dict(custom_hooks=[dict(type='EMAHook')]), "custom_hooks.EMAHook.type nothing -> 'EMAHook'"),
    (dict(default_hooks__sampler_seed=None), "DistSamplerSeedHook.type '.*' -> nothing"),
])
def test_other_settings_are_refused_or_accepted_by_name(run, change, said, capsys):
    """F15, F18: accepted without a word."""
    with pytest.raises(MultiSSLError, match=f'{said}.*--accept-changes'):
        start(run(**change), resume='auto', train=False)
    start(run(**change), resume='auto', train=False, accept_changes=True)
    assert '[resume] accepted: ' in capsys.readouterr().out


def test_what_does_not_matter_may_change(run, capsys):
    start(run(train_dataloader__num_workers=2, log_level='ERROR',
              train_dataloader__persistent_workers=True,
              default_hooks__logger=dict(type='LoggerHook', interval=3),
              custom_hooks=[dict(type='EmptyCacheHook')]), resume='auto', train=False)
    assert '[resume]' not in capsys.readouterr().out


def test_hooks_that_only_look_are_known_as_classes():
    assert not essentials(Config(dict(custom_hooks=[dict(type=EmptyCacheHook)])))
    assert essentials(Config(dict(custom_hooks=[dict(type=EMAHook)])))


def test_other_data_are_refused(run, tmp_path):
    """F5: pictures replaced under the same names."""
    other = tiny.write_images(tmp_path / 'other')
    cfg = run()
    cfg.train_dataloader.dataset.dataset.data_root = str(other)  # the same, moved
    start(cfg.copy(), resume='auto', train=False)
    next(other.rglob('*.JPEG')).write_bytes(next(other.rglob('0001.JPEG')).read_bytes() + b'0')
    with pytest.raises(MultiSSLError, match='epoch_1.pth was trained on other data'):
        start(cfg.copy(), resume='auto', train=False)


def test_data_of_any_dataset_are_compared(images, tmp_path):
    """Those without keyed views had no digest, and nothing was said."""
    work = tmp_path / 'work'
    work.mkdir()

    def config(folder):
        cfg = tiny.worker_views(tiny.tiny_config('mocov2', folder, work, train_cfg__max_epochs=1))
        cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.dataset
        cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
        return cfg

    start(config(images))
    start(config(images), resume='auto', train=False)
    other = tiny.write_images(tmp_path / 'other', 32)
    with pytest.raises(MultiSSLError, match='epoch_1.pth was trained on other data'):
        start(config(other), resume='auto', train=False)


def test_checkpoints_elsewhere_are_refused(images, tmp_path):
    """`--resume` did not find them, and runs replaced each other's."""
    cfg = tiny.tiny_config('mocov2', images, tmp_path)
    cfg.default_hooks.checkpoint.out_dir = str(tmp_path / 'elsewhere')
    with pytest.raises(MultiSSLError, match='checkpoint.out_dir: .*/elsewhere would .*--work-dir'):
        start(cfg)


def resumed_on_two_ranks(cfg):
    cfg = cfg.copy()
    return start(cfg, train=False, resume='auto', launcher='pytorch')


def test_other_processes_are_refused_on_all_ranks(run, tmp_path):
    with pytest.raises(Exception, match='processes 1 -> 2'):
        on_ranks(tmp_path / 'ranks', resumed_on_two_ranks, run())


# ------------------------------------------------------------------------ which one is resumed

def test_a_copied_folder_goes_on_from_its_own_checkpoints(tmp_path):
    """The original's was resumed, whose absolute path the pointer has."""
    for name in ('original', 'copy'):
        (tmp_path / name).mkdir()
        torch.save(dict(state_dict={}), tmp_path / name / 'epoch_1.pth')
        (tmp_path / name / 'last_checkpoint').write_text(str(tmp_path / 'original/epoch_1.pth'))
    (tmp_path / 'copy' / 'best_score_epoch_9.pth').touch()
    (tmp_path / 'copy' / 'round_7.pth').touch()  # by a template of its own
    assert candidates(str(tmp_path / 'copy')) == [
        str(tmp_path / 'copy' / name) for name in ('epoch_1.pth', 'round_7.pth')]


@pytest.mark.parametrize('damage', ['pointer gone', 'pointer empty', 'cut off', 'bit'])
def test_the_newest_whole_checkpoint_is_found(tmp_path, damage, capsys):
    """F16: the run began anew and overwrote what there was, or failed without a name."""
    for epoch in (1, 2, 3):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save(dict(state_dict=dict(a=torch.ones(1000)), meta={}), path)
        os.utime(path, (epoch, epoch))
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_text(str(path))
    content, expected = path.read_bytes(), path
    if damage == 'pointer gone':
        pointer.unlink()
    elif damage == 'pointer empty':
        pointer.write_text('')
    else:
        expected = tmp_path / 'epoch_2.pth'
        flipped = bytearray(content)
        flipped[content.index(b'\0\0\x80\x3f' * 8) + 6] ^= 16  # of a weight
        path.write_bytes(content[:-99] if damage == 'cut off' else flipped)
    assert runtime.newest_checkpoint(str(tmp_path)) == str(expected)
    assert (f'{path}: ' in capsys.readouterr().out) == (expected != path)
    for other in tmp_path.glob('epoch_*'):
        other.write_bytes(b'PK')
    with pytest.raises(MultiSSLError, match='none of its 3 checkpoints is whole; nothing is'):
        runtime.newest_checkpoint(str(tmp_path))


def test_a_used_folder_is_not_begun_anew(run):
    """F17: overwritten silently."""
    with pytest.raises(MultiSSLError, match=r'epoch_1.pth\); go on with it by --resume'):
        start(run(), train=False)
    start(run(), train=False, overwrite=True)


@pytest.mark.parametrize('variable', ['TORCHELASTIC_RESTART_COUNT', 'MULTISSL_RESTART_COUNT',
                                      'SLURM_RESTART_COUNT'])
def test_a_run_that_is_started_again_resumes(run, monkeypatch, variable):
    """F14: it began anew, or hung."""
    monkeypatch.setenv(variable, '1')
    for told in (None, 'auto', 'what it began with.pth'):
        assert start(run(), train=False, resume=told).cfg.load_from.endswith('epoch_1.pth')


def test_one_run_at_a_time(tmp_path, monkeypatch):
    """F17: both exit 0, and the checkpoints of one are gone."""
    monkeypatch.setattr(lock, 'WAIT', 0.)
    monkeypatch.setattr(lock, '_held', {})
    ours, theirs = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        try:
            lock.hold(tmp_path)
            os.write(ours[1], b'x')
            os.read(theirs[0], 1)
        finally:
            os._exit(0)
    os.read(ours[0], 1)
    with pytest.raises(MultiSSLError, match=f'is in use by another run .process {pid} on'):
        lock.hold(tmp_path)
    os.write(theirs[1], b'x')
    os.waitpid(pid, 0)
    lock.hold(tmp_path)  # whatever ended it
    lock.hold(tmp_path)


def test_a_lock_on_a_full_disk(tmp_path):
    """Whoever has it could not write its name: an error without a file's name."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with lock.one_writer(tmp_path / 'data'):
            assert (tmp_path / 'data' / lock.LOCK).read_text() == ''
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (tmp_path / 'file').touch()
    with pytest.raises(MultiSSLError, match='file: cannot be written'):
        with lock.one_writer(tmp_path / 'file'):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(MultiSSLError, match='nothing can be written there'):
        lock.hold(tmp_path / 'work')


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    Path(tmp_path, 'file').write_text('')
    with pytest.raises(MultiSSLError, match='file/work: nothing can be written there'):
        lock.hold(tmp_path / 'file' / 'work')


@pytest.mark.parametrize('free, said', [
    (9, 'work: nothing can be written there .No space left'),
    (lock.LEAST + 1, 'a checkpoint takes about .* MB are free')])
def test_a_full_disk_is_known_before_the_first_step(tmp_path, monkeypatch, free, said):
    """F10"""
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    cfg = toy.config(tmp_path / 'work')
    cfg.model.weight_mb = 2 if free > 9 else 0
    with pytest.raises(MultiSSLError, match=said):
        start(cfg)
    assert not list(tmp_path.rglob('*.pth'))


def test_no_folder_for_temporary_files(tmp_path, monkeypatch):
    """A traceback of a loader's worker, in the middle of nowhere."""
    def full(path, flags, mode=0):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, 'tempdir', None)
        patch.setattr(tempfile._os, 'open', full)
        with pytest.raises(MultiSSLError, match='No usable temporary directory .*/tmp.*TMPDIR'):
            runtime.prepare_cfg(toy.config(tmp_path), runtime.RunOptions('config.py'))


def test_older_checkpoints_are_resumed_with_a_word(tmp_path, capsys):
    cfg = toy.config(tmp_path, epochs=1)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    start(cfg)
    start(toy.config(tmp_path), resume='auto')
    assert 'is not checked' in capsys.readouterr().out


def test_a_checkpoint_of_a_newer_version_from_a_gpu(tmp_path, monkeypatch, capsys):
    start(toy.config(tmp_path, checkpoint=dict(interval=1)))
    path, expected = tmp_path / 'epoch_1.pth', last_checkpoint(tmp_path)
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['multissl_mm']['version'] = '99.1'
    with monkeypatch.context() as patch:  # what torch writes for tensors of a GPU
        patch.setattr(torch.serialization, 'location_tag', lambda storage: 'cuda:0')
        torch.save(checkpoint, path)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match='deserialize object on a CUDA device'):
            torch.load(path, weights_only=False)
    start(toy.config(tmp_path, checkpoint=dict(interval=1)), resume=str(path))
    assert 'epoch_1.pth was written by multissl_mm 99.1, which is newer' in capsys.readouterr().out
    assert_same(last_checkpoint(tmp_path)['state_dict'], expected['state_dict'])


def meet(rank, port, start):
    os.environ.update(MASTER_PORT=str(port), TORCHELASTIC_USE_AGENT_STORE='True',
                      TORCHELASTIC_RESTART_COUNT=str(start))
    start_group(Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dict(timeout=30)))))
    ones = torch.ones(1)
    torch.distributed.all_reduce(ones)
    if start % 2 == rank:
        os._exit(1)  # without a word to the store
    return int(ones)


@pytest.mark.parametrize('starts', [2, pytest.param(20, marks=pytest.mark.faults)])
def test_processes_that_are_started_again_meet(starts):
    """F14: in the one store that torchrun keeps they found addresses of those that are no more."""
    agent = torch.distributed.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    for start in range(starts):
        context = multiprocessing.get_context('fork')
        queue = context.SimpleQueue()
        ranks = [context.Process(target=toy._rank, args=(
            lambda rank: meet(rank, agent.port, start), rank, agent.port, queue))  # noqa: B023
            for rank in range(2)]
        for process in ranks:
            process.start()
        assert queue.get() == (1 - start % 2, '2')
        for process in ranks:
            process.join(60)
            process.kill()
