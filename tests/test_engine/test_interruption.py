"""Asked to stop anywhere, and resumed: the same bits as never interrupted."""
import gc
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
import toy
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import METRICS
from ranks import on_ranks
from runs import assert_same, last_checkpoint
from torch.utils.data import DataLoader

from multissl_mm import runtime
from multissl_mm.engine.hooks.interruption import InterruptionHook
from multissl_mm.registry import HOOKS
from multissl_mm.responses.bank import ResponseBank
from multissl_mm.utils.stopping import (
    TRY_AGAIN,
    Interrupted,
    OutliveSignals,
    listening,
    requested,
)

COUNT = itertools.count()  # MMEngine keeps loggers by the names of runs
# 24 pictures in batches of 8: 3 steps an epoch; epochs 1 and 2 are stage 1, 3 and 4 stage 2.


@HOOKS.register_module()
class AskHook(Hook):
    """Asks the process to stop in one step."""

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module()
class InterruptionSignalHook(Hook):
    """Asks the process to stop in given steps, and notes which samples a run has seen."""

    def __init__(self, step=0, number=signal.SIGTERM):
        self.step, self.number = step, number

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        seen = [(runner.epoch, batch_idx, s.sample_idx) for s in data_batch['data_samples']]
        with open(Path(runner.work_dir, 'seen.txt'), 'a') as file:
            file.writelines(f'{line}\n' for line in seen)
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), self.number)


def train(cfg, **hook):
    cfg.custom_hooks = [dict(type='multissl_mm.InterruptionSignalHook', **hook)]
    cfg.experiment_name = f'{Path(cfg.work_dir).name}_{hook.get("step")}'
    options = runtime.RunOptions('config.py', resume='auto')
    runner = runtime.build_runner(runtime.prepare_cfg(cfg, options), options)
    with listening():
        runner.train()


def seen(folder):
    return Path(folder, 'seen.txt').read_text().splitlines()


@pytest.mark.parametrize('name, checkpoint, stops, sizes', [
    # The 3rd is an epoch's last, the 7th a stage's 1st.
    ('il_mocov2_densecl', {}, [2, 3, 7, 11], None),
    ('mtl_mocov2_densecl', dict(by_epoch=False, interval=2), [1, 5], None),
    # The loader's own size is of neither; the 5th is a stage's 1st.
    ('il_mocov2_densecl', {}, [1, 5], [12, 6])])
def test_stopped_anywhere_equals_never_stopped(images, tmp_path, name, checkpoint, stops, sizes):
    """F12, F13: the epoch began anew, samples came twice, other weights."""
    def config(folder):
        cfg = tiny.tiny_config(name, images, tmp_path / folder,
                               default_hooks__checkpoint=dict(
                                   type='multissl_mm.AtomicCheckpointHook',
                                   **dict(dict(interval=1, max_keep_ckpts=-1), **checkpoint)))
        if sizes:
            cfg.default_hooks.stage.batch_sizes = sizes
        return cfg

    train(config('whole'))
    for stop, number in zip(stops, [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGUSR2]):
        with pytest.raises(Interrupted, match=str(TRY_AGAIN)) as ended:
            train(config('parts'), step=stop, number=number)
        assert f'step {stop} ' in ended.value.message and '--resume' in ended.value.message
        kept = last_checkpoint(tmp_path / 'parts')
        assert kept['meta']['iter'] == stop
    train(config('parts'))
    assert seen(tmp_path / 'parts') == seen(tmp_path / 'whole')  # none twice, none left out
    a, b = (last_checkpoint(tmp_path / folder) for folder in ('whole', 'parts'))
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(a[key], b[key], key)
    assert not (tmp_path / 'parts' / 'interrupted.pth').exists()
    assert torch.load(tmp_path / 'parts' / 'final.pth', weights_only=False)


@METRICS.register_module()
class AskedMetric(BaseMetric):
    """Counts batches; in the first validation of a work directory the process is asked to stop.

    Or in the nth it fails, as little prepared as where it is killed.
    """

    def __init__(self, folder, fails=0):
        super().__init__()
        self.path, self.fails = Path(folder, 'validated.txt'), fails

    def process(self, data_batch, data_samples):
        self.results.append(1)
        if self.fails:
            validated = self.path.read_text().split() if self.path.exists() else []
            if len(validated) + 1 == self.fails and not self.path.with_name('failed').exists():
                self.path.with_name('failed').touch()
                raise ConnectionError('a node is lost')
        elif not self.path.exists():
            self.path.touch()
            os.kill(os.getpid(), signal.SIGTERM)

    def compute_metrics(self, results):
        with open(self.path, 'a') as file:
            file.write(f'{len(results)} ')
        return dict(batches=sum(results))


@pytest.mark.parametrize('averaged', [False, True])
def test_a_validation_is_left_and_begins_anew(tmp_path, averaged):
    """The checkpoint of it is of the epoch's end, although none was due."""
    def go():
        cfg = toy.config(tmp_path, checkpoint=dict(interval=2))
        cfg.merge_from_dict(dict(
            val_cfg={}, val_evaluator=dict(type='AskedMetric', folder=str(tmp_path)),
            val_dataloader=cfg.train_dataloader, custom_hooks=[dict(type='EMAHook')] * averaged,
            experiment_name=f'{tmp_path.name}_{next(COUNT)}'))
        options = runtime.RunOptions('config.py', resume='auto')
        with listening():
            runtime.build_runner(runtime.prepare_cfg(cfg, options), options).train()

    with pytest.raises(Interrupted) as ended:
        go()
    meta, validated = last_checkpoint(tmp_path)['meta'], (tmp_path / 'validated.txt').read_text()
    if averaged:  # with the averages in the model: after the next step
        assert (meta['epoch'], meta['iter'], validated) == (1, 3, '2 ')
    else:
        assert (meta['epoch'], meta['iter'], validated) == (1, 2, '')
        assert 'step 2 (whose validation is left)' in ended.value.message
    go()
    assert (tmp_path / 'validated.txt').read_text() == '2 2 '
    assert last_checkpoint(tmp_path)['meta']['iter'] == 4


@pytest.mark.parametrize('loop, fails, validated', [
    (dict(by_epoch=True, max_epochs=4), 3, 4),
    (dict(by_epoch=True, max_epochs=4, val_interval=2), 1, 2),  # then it fails in the middle
    (dict(by_epoch=True, max_epochs=4, val_interval=1000), 1, 1),  # the last validation, the only
    (dict(by_epoch=False, max_iters=4, val_interval=2), 2, 2)])
def test_a_validation_that_fails_comes_again(tmp_path, loop, fails, validated):
    """The checkpoint of its epoch was there, and with --resume the validation was left out."""
    def go():
        cfg = toy.config(tmp_path, checkpoint=dict(interval=1, by_epoch=loop['by_epoch']))
        cfg.merge_from_dict(dict(
            val_cfg={}, val_evaluator=dict(type='AskedMetric', folder=str(tmp_path), fails=fails),
            val_dataloader=cfg.train_dataloader,
            default_hooks=dict(logger=dict(type='LoggerHook',
                                           log_metric_by_epoch=loop['by_epoch'])),
            experiment_name=f'{tmp_path.name}_{next(COUNT)}'))
        cfg.train_cfg = loop
        options = runtime.RunOptions('config.py', resume='auto')
        runtime.build_runner(runtime.prepare_cfg(cfg, options), options).train()

    with pytest.raises(ConnectionError):
        go()
    assert not (tmp_path / 'final.pth').exists()
    go()
    assert (tmp_path / 'validated.txt').read_text() == '2 ' * validated
    assert (tmp_path / 'final.pth').exists()
    steps = [json.loads(line)['step'] for path in sorted(tmp_path.glob('*/vis_data/scalars.json'))
             for line in path.read_text().splitlines() if 'batches' in line]
    assert steps == sorted(set(steps)) and len(steps) == validated
    go()  # finished, and validated
    assert (tmp_path / 'validated.txt').read_text() == '2 ' * validated


def test_a_run_that_goes_back_validates_again(tmp_path):
    """From an older checkpoint: that later epochs were validated once says nothing of them now."""
    def go(fails=0, resume='auto'):
        cfg = toy.config(tmp_path, epochs=4, checkpoint=dict(interval=1, max_keep_ckpts=-1))
        cfg.merge_from_dict(dict(
            val_cfg={}, val_evaluator=dict(type='AskedMetric', folder=str(tmp_path), fails=fails),
            val_dataloader=cfg.train_dataloader, experiment_name=f'{tmp_path.name}_{next(COUNT)}'))
        options = runtime.RunOptions('config.py', resume=resume)
        runtime.build_runner(runtime.prepare_cfg(cfg, options), options).train()

    go(fails=100)
    with pytest.raises(ConnectionError):  # in the validation of epoch 3
        go(fails=6, resume=str(tmp_path / 'epoch_1.pth'))
    go(fails=100, resume=str(tmp_path / 'epoch_3.pth'))
    assert (tmp_path / 'validated.txt').read_text() == '2 ' * (4 + 1 + 2)
    assert (tmp_path / 'last_validation').read_text() == '4'


def ask_one_of_two(folder, validated):
    cfg = toy.config(folder, epochs=1000, checkpoint=dict(interval=1000))  # 1 step an epoch
    here = get_rank() == 1
    cfg.merge_from_dict(dict(experiment_name=folder.name, custom_hooks=[
        dict(type='multissl_mm.AskHook', step=5 if here and not validated else 0)]))
    if validated:
        (folder / f'{get_rank()}').mkdir(exist_ok=True)
        if not here:
            (folder / '0' / 'validated.txt').touch()  # asked before, so to say
        cfg.merge_from_dict(dict(
            val_cfg={}, val_dataloader=cfg.train_dataloader,
            val_evaluator=dict(type='AskedMetric', folder=str(folder / f'{get_rank()}'))))
    options = runtime.RunOptions('config.py', launcher='pytorch')
    runner = runtime.build_runner(runtime.prepare_cfg(cfg, options), options)
    try:
        with listening():
            runner.train()
    except Interrupted as ended:
        return ended.code, ended.message


@pytest.mark.parametrize('validated', [False, True])
def test_one_of_two_ranks_is_asked(tmp_path, validated):
    """Both keep the same step, which is not far, and end alike."""
    (tmp_path / 'run').mkdir()
    a, b = on_ranks(tmp_path / 'ranks', ask_one_of_two, tmp_path / 'run', validated)
    assert a == b and a[0] == TRY_AGAIN
    kept = last_checkpoint(tmp_path / 'run')['meta']['iter']
    assert 1 <= kept <= 20 and f'step {kept} ' in a[1]  # looks are 10 batches apart at most


def test_stopped_while_responses_are_recorded(images, tmp_path, monkeypatch):
    """What is recorded is kept, and the rest follows; a worker that is asked, too, is no error."""
    def config():
        return tiny.tiny_config('il_mocov2_densecl', images, tmp_path,
                                train_dataloader__num_workers=1)

    write, count = ResponseBank.write, []

    def asked(batches):
        for batch in batches:
            pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
            subprocess.run(['kill', *map(str, pids)], check=True)  # by somebody else
            yield batch

    def write_and_ask(bank, replica, shard, batches):
        count.append((replica, shard))
        write(bank, replica, shard, asked(batches) if len(count) == 2 else batches)

    monkeypatch.setattr(ResponseBank, 'write', write_and_ask)
    with pytest.raises(Interrupted) as ended:
        train(config())
    assert '1 of 6 pieces of work are kept' in ended.value.message
    train(config())
    assert len(count) == 2 + 5 and len(set(count)) == 6  # the second again
    del ended  # which holds the loader of the run that it ended
    gc.collect()
    assert multiprocessing.active_children() == []  # a minute later it would end in another test


@pytest.mark.parametrize('eager, workers, begun', [(True, 1, 1), (True, 0, 0), (False, 1, 0)])
def test_a_loop_that_loads_before_its_hooks_begins_anew(eager, workers, begun):
    """As mmengine 0.10.7's does, whose first batches lacked what hooks had prepared."""
    class Loader:
        num_workers, worker_init_fn, _iterator = workers, None, 'persistent'
        batch_sampler, began = None, []

        def __iter__(self):
            self.began.append((type(self.worker_init_fn), self._iterator, torch.rand(())))
            return iter(())

    batches = SimpleNamespace(_iterator='before' if eager else None)
    loop = SimpleNamespace(dataloader=Loader(), dataloader_iterator=batches)
    state = torch.get_rng_state()
    InterruptionHook().before_train(SimpleNamespace(train_loop=loop, val_loop=None))
    assert [began[:2] for began in Loader.began] == [(OutliveSignals, None)] * begun
    assert (batches._iterator in ('before', None)) == (not begun)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize('persistent', [False, True])
def test_beginning_anew_no_sample_is_lost(persistent):
    """MMEngine's InfiniteSampler is a stream, which had ended."""
    def loader():
        return DataLoader(range(8), 2, sampler=InfiniteSampler(range(8), seed=0), num_workers=1,
                          persistent_workers=persistent)

    loop = SimpleNamespace(dataloader=loader())
    loop.dataloader_iterator = SimpleNamespace(_iterator=iter(loop.dataloader))
    InterruptionHook().before_train(SimpleNamespace(train_loop=loop, val_loop=None))
    for found, wanted, _ in zip(loop.dataloader_iterator._iterator, loader(), range(6)):
        assert torch.equal(found, wanted)


def test_signals_do_what_they_did_outside(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert requested() == 'SIGTERM'
        os.kill(os.getpid(), signal.SIGINT)  # launchers repeat
        monkeypatch.setattr('multissl_mm.utils.stopping._since', -10.)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert requested() is None and signal.getsignal(signal.SIGTERM) is before
