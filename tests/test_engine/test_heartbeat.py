"""Who is waited for is named: where ranks live, are behind, or are stopped."""
import os
import re
import signal
import threading
import time
from contextlib import redirect_stderr
from datetime import timedelta
from functools import partial
from io import StringIO
from types import SimpleNamespace

import pytest
import torch.distributed
import toy
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_rank
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from mmengine.runner import Runner
from torch.distributed import HashStore

from multissl_mm.engine.hooks import HeartbeatHook
from multissl_mm.runtime.options import RunOptions
from multissl_mm.runtime.prepare import prepare_cfg
from multissl_mm.utils import heartbeats
from multissl_mm.utils.heartbeats import LAUNCHER, Heartbeats, lost, named

EVERY = .02


class Ranks:
    """Of one process; the store answers as long as ``awake`` is set."""

    def __init__(self, count):
        self.store, self.awake = HashStore(), threading.Event()
        self.awake.set()
        self.beats = [Heartbeats(self, rank, count, EVERY, .5, lambda rank=rank: 10 * rank,
                                 lambda: None) for rank in range(count)]
        for beats in self.beats:
            beats.start()

    def set(self, key, value):
        self.awake.wait()
        self.store.set(key, value)

    def add(self, key, amount):
        self.awake.wait()
        return self.store.add(key, amount)


@pytest.fixture
def ranks():
    ranks = Ranks(3)
    yield ranks
    ranks.awake.set()
    for beats in ranks.beats:
        beats.stop()


def until(holds, seconds=10.):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(.01)


def test_who_gives_no_sign_of_life(ranks):
    first, second, third = ranks.beats
    until(lambda: first.steps == [0, 10, 20])
    assert not first.silent(10.) and not lost()
    second.stop()
    until(lambda: first.silent(.3) == third.silent(.3) == [1])
    heartbeats._running = first
    until(lambda: lost() == [1])  # the limit


def test_a_store_that_does_not_answer(ranks, monkeypatch):
    """The other ranks are not blamed for it, and nobody waits for it in the end."""
    monkeypatch.delenv('TORCHELASTIC_USE_AGENT_STORE', raising=False)
    first = ranks.beats[0]
    until(lambda: first.steps == [0, 10, 20])
    ranks.awake.clear()
    until(lambda: first.silent(.3) == [0])
    monkeypatch.setenv('TORCHELASTIC_USE_AGENT_STORE', 'True')
    assert first.silent(.3) == [LAUNCHER] and 'torchrun' in named([LAUNCHER])
    begin = time.monotonic()
    first.stop()
    assert time.monotonic() - begin < 5
    ranks.awake.set()
    third = ranks.beats[2]
    until(lambda: not third.silent(.3) or third.silent(.3) == [0])  # the first has ended


def test_a_store_that_has_gone():
    def gone(*_):
        raise RuntimeError('connection reset')

    beats = Heartbeats(SimpleNamespace(set=gone, add=gone), 0, 2, EVERY, .1, lambda: 0,
                       lambda: None)
    beats.start()
    beats._thread.join(10)
    assert not beats._thread.is_alive() and not lost()
    beats.stop()


def test_a_process_that_was_stopped_blames_nobody(ranks, monkeypatch):
    """A job is suspended and continued: the clocks went on."""
    first = ranks.beats[0]
    until(lambda: first.steps == [0, 10, 20])
    now = time.monotonic
    monkeypatch.setattr(heartbeats.time, 'monotonic', lambda: now() + 1000)
    ticks = first.clock
    until(lambda: first.clock > ticks + .2)
    assert first.clock < ticks + 100 and not first.silent(.5)


@pytest.mark.parametrize('silent, steps, expected', [
    ([], [4, 4, 4], [None] * 3), ([], [4, 2, 4], ['rank 1 is behind', None, None]),
    ([0], [4, 4, 4], [None, 'rank 0 gives no sign', None]),
    ([2, 0], [4, 4, 4], [None, 'rank 2, 0 gives no sign', None]),
    ('store', [4, 4, 4], [None, 'rank 0 gives no sign', 'rank 0 gives no sign']),
])
def test_what_is_said(silent, steps, expected, capsys):
    """By one rank, unless nobody knows who is there to say it."""
    for rank, words in enumerate(expected):
        HeartbeatHook(6.)._say(SimpleNamespace(
            rank=rank, steps=steps, answered=lambda _: silent != 'store',
            silent=lambda _: [0] if silent == 'store' else silent), 7.)
        said = capsys.readouterr().err
        assert f'[rank {rank}] no step for 7 s: {words}' in said if words else not said


def _without_a_launcher(rank):
    """Rank 0, in which the store is, is stopped in the middle of a training."""
    os.environ['TORCHELASTIC_USE_AGENT_STORE'] = 'False'
    torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=40))
    pids, said = all_gather_object(os.getpid()), []
    hook = HeartbeatHook(after=1.2)
    hook._say = lambda beats, waited: said.append((beats.silent(.6), waited)) or True
    hook.before_run(SimpleNamespace(cfg=Config(), timestamp='now'))
    if not rank:
        time.sleep(.5)
        os.kill(pids[0], signal.SIGSTOP)
        return ''
    try:
        until(lambda: said and said[-1][0], 20)
        begin = time.monotonic()
        hook.after_run(None)
        return said[-1], time.monotonic() - begin < 5
    finally:
        os.kill(pids[0], signal.SIGCONT)


def test_the_rank_with_the_store_is_stopped():
    _, found = toy.on_two_ranks(_without_a_launcher)
    assert found.startswith('(([0], ') and found.endswith('True)'), found


def _unequal_test(rank):
    """Rank 1 has fewer batches, and is not behind when all have done theirs."""
    torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=40))
    hook, count = HeartbeatHook(after=1.2), 2 + 2 * (rank == 0)
    runner = SimpleNamespace(cfg=Config(), timestamp='now',
                             test_loop=SimpleNamespace(dataloader=range(count)))
    hook.before_run(runner)
    hook.before_test_epoch(runner)
    for batch in range(count):
        hook.before_test_iter(runner, batch)
        hook.after_test_iter(runner, batch)
    beats = hook._beats
    until(lambda: beats.steps == [0, 0])
    torch.distributed.barrier()
    hook.after_run(runner)
    return 'done'


def test_a_test_counts_what_is_left():
    assert toy.on_two_ranks(_unequal_test) == ['done', 'done']


@METRICS.register_module()
class SlowMetric(BaseMetric):
    """Rank 1 hangs for a while at its first batch."""

    def process(self, data_batch, data_samples):
        if get_rank() == 1 and not self.results:
            time.sleep(3)
        self.results.append(0)

    def compute_metrics(self, results):
        return {}


def _test(folder, rank):
    torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=40))
    cfg = toy.config(folder)
    cfg.update(test_dataloader=dict(cfg.train_dataloader, batch_size=1), test_cfg=dict(),
               test_evaluator=dict(type='SlowMetric'), launcher='pytorch', log_level='ERROR',
               model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None),
               custom_hooks=[dict(type='multissl_mm.HeartbeatHook', after=.9)])
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        cfg.pop(key)
    cfg.default_hooks = {}
    with redirect_stderr(StringIO()) as err:
        Runner.from_cfg(cfg).test()
    return err.getvalue()


def test_a_test_names_who_is_behind(tmp_path):
    first, second = toy.on_two_ranks(partial(_test, tmp_path))
    assert re.search(r'\[rank 0\] no step for \d s: rank 1 is behind', first), first
    assert 'no step' not in second


@pytest.mark.parametrize('checkpoint', [None, 'some.pth'])
def test_runs_of_several_processes_have_it(checkpoint, monkeypatch):
    """Tests, too."""
    for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(name, '1')
    for launcher, expected in (('pytorch', 1), ('none', 0)):
        cfg = prepare_cfg(Config(dict(model=dict())), RunOptions(
            config='some.py', checkpoint=checkpoint, launcher=launcher))
        kinds = [hook['type'] for hook in cfg.custom_hooks]
        assert kinds.count('multissl_mm.HeartbeatHook') == expected
