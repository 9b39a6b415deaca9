"""What is kept of a run: whole, finite, named; and what ends it."""
import errno
import logging
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
import toy
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from multissl_mm import runtime
from multissl_mm.engine.hooks import interruption
from multissl_mm.errors import MultiSSLError
from multissl_mm.utils import files


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Better in every epoch."""
    scores = iter(())

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(accuracy=next(self.scores), other=1.)


@HOOKS.register_module()
class BreakHook(Hook):
    """Breaks the weights while the second epoch is validated."""

    def after_val_iter(self, runner, *args, **kwargs):
        if runner.epoch == 2:
            torch.nn.init.constant_(runner.model.backbone[1].running_var, float('inf'))


def run(cfg, name='run'):
    cfg.experiment_name = f'{cfg.work_dir}_{name}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def names(folder):
    return {path.name for path in Path(folder).iterdir()
            if path.is_file() and path.suffix != '.py'}


def validated(tmp_path, scores, save_best='accuracy', **kwargs):
    ToyMetric.scores = iter(scores)
    cfg = toy.config(tmp_path, checkpoint=dict(save_best=save_best, rule='greater', interval=1,
                                               max_keep_ckpts=1), **kwargs)
    cfg.update(val_cfg=dict(), val_evaluator=dict(type='ToyMetric'),
               val_dataloader=cfg.train_dataloader)
    return cfg


@pytest.mark.parametrize('checkpoint', [
    dict(interval=1), dict(by_epoch=False, interval=1, max_keep_ckpts=2),
    dict(interval=-1), dict(by_epoch=False, interval=-1)])
@pytest.mark.parametrize('fault', ['loss', 'gradient'])
def test_no_checkpoint_has_nan(tmp_path, checkpoint, fault):
    """E3, F2, F3: NaN in the last step of a run, by epoch, by step, and of `save_last`."""
    cfg = toy.config(tmp_path, checkpoint=checkpoint, faults={'4': fault})
    what = r'step 4 \(epoch 2\): align_loss.loss is not finite' if fault == 'loss' else \
        'after step 4: backbone.0.weight'
    with pytest.raises(MultiSSLError, match=what) as error:
        run(cfg)
    left = sorted(tmp_path.glob('*.pth'))
    assert all(torch.load(p, weights_only=False)['state_dict']['backbone.0.weight'].isfinite().all()
               for p in left)
    # The advice is to go on from the last good one.
    good = (tmp_path / 'last_checkpoint').read_text() if left else 'the start'
    assert f'resume from {good}' in str(error.value) and not (tmp_path / 'final.pth').exists()
    assert not left or str(left[-1]) == good


def test_a_metric_that_is_nan_ends_nothing(tmp_path):
    """What counts is the total, whatever a task or a metric is called."""
    run(toy.config(tmp_path, faults={'2': 'metric'}))
    assert (tmp_path / 'final.pth').exists()


def test_no_best_checkpoint_has_nan(tmp_path):
    """E3: validation is where `save_best` writes; the weights broke since."""
    cfg = validated(tmp_path, [1., 2.])
    cfg.custom_hooks = [dict(type='BreakHook')]
    with pytest.raises(MultiSSLError, match='backbone.1.running_var is not finite'):
        run(cfg)
    assert {'epoch_2.pth', 'best_accuracy_epoch_1.pth'} <= names(tmp_path)
    assert 'best_accuracy_epoch_2.pth' not in names(tmp_path)


@pytest.mark.parametrize('save_best', ['accuracy', ['accuracy', 'other'], 'auto'])
def test_previous_best_goes_last(tmp_path, monkeypatch, save_best):
    """E3: MMEngine removed the old best checkpoint, then wrote the new one in place."""
    seen = []
    replace = os.replace

    def note(source, target):
        seen.append((Path(target).name, names(tmp_path)))
        replace(source, target)

    monkeypatch.setattr(files.os, 'replace', note)
    run(validated(tmp_path, [1., 3., 2., 4.], save_best, epochs=4))
    best = [name for name, _ in seen if name.startswith('best_accuracy')]
    assert best == [f'best_accuracy_epoch_{n}.pth' for n in (1, 2, 4)]
    for name, there in seen:  # whatever is written, the best one so far is there
        if name.startswith('best_accuracy') and name != best[0]:
            assert best[best.index(name) - 1] in there
    left = {'final.pth', 'epoch_4.pth', 'last_checkpoint', 'best_accuracy_epoch_4.pth'}
    assert names(tmp_path) == left | ({'best_other_epoch_1.pth'} if len(save_best) == 2 else set())


@pytest.mark.parametrize('target', ['epoch_2.pth', 'best_accuracy_epoch_2.pth', 'last_checkpoint'])
def test_killed_while_any_of_them_is_written(tmp_path, target):
    """E3: what has its name is whole at any moment."""
    def killed():
        replace, count = os.replace, []

        def torn(source, to):
            count.append(Path(to).name)
            if count.count(target) == (2 if target == 'last_checkpoint' else 1):
                os.truncate(source, 1)
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, to)

        os.replace = torn
        run(validated(tmp_path, [1., 2.]))

    pid = os.fork()
    if not pid:
        try:
            killed()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert Path((tmp_path / 'last_checkpoint').read_text()).exists()
    for path in tmp_path.glob('*.pth'):
        torch.load(path, weights_only=False)
    assert list(tmp_path.glob('.*.partial'))
    run(validated(tmp_path, [1., 2.]))  # the next run clears what is left
    assert not list(tmp_path.glob('.*.partial'))


def test_final_is_the_last_checkpoint_of_a_finished_run(tmp_path):
    cfg = toy.config(tmp_path, checkpoint=dict(interval=1))
    first = run(cfg)
    final = tmp_path / 'final.pth'
    assert final.samefile(tmp_path / 'epoch_2.pth')
    # resumed at its end, nothing is left to train
    cfg.update(resume=True, load_from=first.message_hub.get_info('last_ckpt'))
    run(cfg, 'again')
    assert final.samefile(tmp_path / 'epoch_2.pth')
    # a repeated run that does not end has none; one that ends replaces it
    broken = toy.config(tmp_path, checkpoint=dict(interval=1), faults={'3': 'loss'})
    with pytest.raises(MultiSSLError):
        run(broken, 'broken')
    assert not final.exists()
    run(toy.config(tmp_path, epochs=3, checkpoint=dict(interval=2)), 'longer')
    assert torch.load(final, weights_only=False)['meta']['epoch'] == 3
    # whose end was not saved has none
    run(toy.config(tmp_path, epochs=3, checkpoint=dict(interval=2, save_last=False)), 'unsaved')
    assert not final.exists() and (tmp_path / 'epoch_2.pth').exists()


def test_a_checkpoint_with_nan_is_not_loaded(tmp_path):
    """F4: it was accepted, and saved again."""
    state = run(toy.config(tmp_path / 'a')).model.state_dict()
    state['backbone.1.running_var'][0] = float('nan')
    torch.save(dict(state_dict=state), tmp_path / 'bad.pth')
    cfg = toy.config(tmp_path / 'b')
    cfg.update(load_from=str(tmp_path / 'bad.pth'),
               custom_hooks=[dict(type='multissl_mm.StrictLoadHook')])
    with pytest.raises(MultiSSLError, match='NaN or infinite values in backbone.1.running_var'):
        run(cfg)


# -------------------------------------------------------------------------------- several ranks

def train(cfg, **options):
    options = runtime.RunOptions('toy.py', launcher='pytorch', accept_changes=True, **options)
    cfg.experiment_name = 'toy'
    runner = runtime.build_runner(runtime.prepare_cfg(cfg, options), options)
    runner.train()
    return f'done after {runner.iter} steps'


@pytest.mark.parametrize('fault', ['loss', 'gradient'])
@pytest.mark.parametrize('rank', [0, 1])
def test_all_ranks_end_where_one_has_nan(tmp_path, rank, fault):
    """E5: the guard raised on one rank, the others waited for it without end."""
    cfg = toy.config(tmp_path, epochs=4, faults={'2': fault}, rank=rank)
    ended = toy.on_two_ranks(lambda _: train(cfg))
    assert ended[0] == ended[1]
    what = f'step 2 (epoch 2): align_loss.loss (rank {rank}) is' if fault == 'loss' else \
        'step 3 (epoch 3): align.accuracy (rank 0, 1), align_loss.loss (rank 0, 1) is'
    assert f'MultiSSLError: {what} not finite' in ended[0]


def test_rank_0_decides_what_is_resumed(tmp_path):
    """R2: two machines with work directories of their own; only the first has a checkpoint."""
    run(toy.config(tmp_path / '0', epochs=1))
    cfgs = [toy.config(tmp_path / str(rank)) for rank in range(2)]
    ended = toy.on_two_ranks(lambda rank: train(cfgs[rank], resume='auto'))
    # One file system: rank 1 reads rank 0's.
    assert ended == ['done after 3 steps'] * 2
    # MMEngine's own `resume = True`, and an option that one rank lacks
    for cfg in cfgs:
        cfg.resume = True
    assert toy.on_two_ranks(lambda rank: train(cfgs[rank])) == ['done after 3 steps'] * 2
    cfgs = [toy.config(tmp_path / str(rank)) for rank in range(2)]
    ended = toy.on_two_ranks(lambda rank: train(cfgs[rank], resume=None if rank else 'auto'))
    assert ended == ['done after 3 steps'] * 2


@pytest.mark.parametrize('key', ['state_dict', 'meta', 'nothing'])
@pytest.mark.parametrize('resume', [True, False])
def test_ranks_that_loaded_different_files_end(tmp_path, monkeypatch, key, resume):
    """R2: the same path is another file on another machine, or is not there."""
    run(toy.config(tmp_path, epochs=1))
    path = tmp_path / 'epoch_1.pth'

    def train_on(rank):
        folder = tmp_path / str(rank)  # a machine of its own
        folder.mkdir()
        os.chdir(folder)
        checkpoint = torch.load(path, weights_only=False)
        if rank and key == 'state_dict':
            checkpoint[key]['backbone.0.bias'][0] += 1e-7
        if rank and key == 'meta':
            checkpoint[key]['iter'] += 1
        if not rank or key != 'nothing':
            torch.save(checkpoint, 'start.pth')
        cfg = toy.config('work')
        if not resume:
            cfg.load_from = 'start.pth'
        return train(cfg, resume='start.pth' if resume else None)

    ended = toy.on_two_ranks(train_on)
    assert ended[0] == ended[1]
    if key == 'nothing':
        assert 'start.pth: the checkpoint that rank 0 starts from cannot be seen by rank 1' \
            in ended[0]
    elif key == 'meta' and not resume:  # only weights are loaded
        assert ended[0].startswith('done')
    else:
        assert 'rank 1 does not start with the weights, epoch and iteration of rank 0' in ended[0]


@pytest.mark.parametrize('by', ['option', 'config'])
def test_auto_scale_lr_counts_accumulation(tmp_path, by):
    """E6: batches of 4, 2 of them in a step, are a batch of 8."""
    cfg = toy.config(tmp_path, epochs=1)
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.auto_scale_lr = dict(base_batch_size=16, enable=by == 'config')
    options = runtime.RunOptions('toy.py', auto_scale_lr=by == 'option')
    runner = runtime.build_runner(runtime.prepare_cfg(cfg, options), options)
    runner.train()
    assert runner.optim_wrapper.get_lr()['lr'] == [.01 * 8 / 16]
    assert runner.cfg.auto_scale_lr.base_batch_size == 16


@pytest.mark.parametrize('checkpoint, warned', [
    (dict(interval=1), False), (dict(by_epoch=False, interval=1), True)])
def test_checkpoints_between_steps_of_the_optimizer_are_named(tmp_path, checkpoint, warned):
    cfg = toy.config(tmp_path, epochs=1, checkpoint=checkpoint)  # two batches
    cfg.optim_wrapper.accumulative_counts = 2
    run(cfg)
    log = next(tmp_path.rglob('*.log')).read_text()
    assert ('gradients of 2 batches are accumulated' in log) == warned


# -------------------------------------------------------------------------------- full disks

@pytest.mark.parametrize('target', ['epoch_2.pth', 'best_accuracy_epoch_2.pth'])
def test_a_checkpoint_that_cannot_be_written_ends_nothing(tmp_path, monkeypatch, target):
    """F10: the run ended; now it is said, tried again at its time, and is an error at the end."""
    replace = os.replace

    def full(source, to):
        if Path(to).name == target:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, to)

    monkeypatch.setattr(files.os, 'replace', full)
    with pytest.raises(MultiSSLError, match=rf'training is through, but \d .*{target}: cannot be '
                                            r'written \(No space left'):
        run(validated(tmp_path, [1., 2., 0.], epochs=3))
    best = 1 if 'best' in target else 2
    assert names(tmp_path) == {'final.pth', 'epoch_3.pth', 'last_checkpoint',
                               f'best_accuracy_epoch_{best}.pth'}
    assert (tmp_path / 'final.pth').samefile(tmp_path / 'epoch_3.pth')


def test_what_was_validated_need_not_be_noted(tmp_path, monkeypatch, capfd):
    """As on a disk that is full to the last byte."""
    write = interruption.write_atomically

    def full(path, text):
        if path.name == interruption.VALIDATED:
            raise MultiSSLError(f'{path}: cannot be written (No space left on device)')
        write(path, text)

    monkeypatch.setattr(interruption, 'write_atomically', full)
    options = runtime.RunOptions('config.py')
    cfg = runtime.prepare_cfg(validated(tmp_path, [1., 2., 0.], epochs=3), options)
    runtime.build_runner(cfg, options).train()
    assert (tmp_path / 'final.pth').exists()
    log = capfd.readouterr()
    assert (log.out + log.err).count('last_validation: cannot be written (No space') == 1


def test_logs_that_cannot_be_written_end_nothing(tmp_path, monkeypatch, capsys):
    """The first number that did not fit ended the run, after a traceback for each line."""
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    options = runtime.RunOptions('config.py')
    cfg = runtime.prepare_cfg(toy.config(tmp_path, checkpoint=dict(interval=1)), options)
    runner = runtime.build_runner(cfg, options)
    with monkeypatch.context() as patch:
        patch.setattr(LocalVisBackend, '_dump', full)
        patch.setattr(logging.FileHandler, 'flush', full)
        patch.setattr(logging, 'raiseExceptions', True)
        runner.train()
        log, = (h for h in runner.logger.handlers if isinstance(h, logging.FileHandler))
        # A bug of whoever wrote that.
        log.handle(logging.makeLogRecord(dict(msg='%d', args=('no number', ), levelname='INFO')))
    err = capsys.readouterr().err
    assert err.count(f'[logs] {tmp_path}: logs cannot be written (No space left on device)') == 1
    assert 'Traceback' in err and 'TypeError' in err and 'OSError' not in err
    assert runner.iter == 4 and (tmp_path / 'final.pth').exists()


def test_a_run_whose_checkpoints_no_file_may_hold(tmp_path):
    """As by a quota, for real: the system limits the size of a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500000, limits[1]))
    try:
        with pytest.raises(MultiSSLError, match='through, but 2 .*epoch_2.pth: .*File too large'):
            run(toy.config(tmp_path, checkpoint=dict(interval=1), weight_mb=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in tmp_path.iterdir() if path.suffix in ('.pth', '.partial')]


def test_what_is_older_stays_where_the_last_one_cannot_be_written(tmp_path, monkeypatch):
    replace = os.replace

    def full(source, to):
        if Path(to).name in ('epoch_2.pth', 'epoch_3.pth'):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        replace(source, to)

    monkeypatch.setattr(files.os, 'replace', full)
    with pytest.raises(MultiSSLError, match='2 checkpoints could not be written'):
        run(toy.config(tmp_path, epochs=3, checkpoint=dict(interval=1, max_keep_ckpts=1)))
    assert names(tmp_path) == {'epoch_1.pth', 'last_checkpoint'}
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
