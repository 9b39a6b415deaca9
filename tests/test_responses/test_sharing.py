"""What ranks share when they record, each test on two gloo processes."""
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch.distributed
from mmengine.dist import all_gather_object, get_rank
from ranks import on_ranks
from torch.distributed import HashStore, Store, TCPStore

from multissl_mm.errors import MultiSSLError
from multissl_mm.responses import sharing
from multissl_mm.responses.sharing import SharedWork, check_shared
from multissl_mm.runtime.processes import decided
from multissl_mm.utils.heartbeats import Heartbeats


def _outcome(work, folder):
    try:
        return work(get_rank(), folder)
    except (MultiSSLError, ArithmeticError) as error:
        return f'{type(error).__name__}: {error}'


def on_two_ranks(work, folder):
    """What ``work(rank, folder)`` returned on each rank, or the error that ended it."""
    return on_ranks(folder, _outcome, work, folder)


def _unequal(rank, folder):
    work, done = SharedWork(decided(lambda: 'key'), range(20)), []
    with work.together():
        for piece in work.take():
            done.append(piece)
            time.sleep(.02 if rank else .2)
    return done, work.finished()


def test_a_fast_rank_does_more(tmp_path):
    """R4: a static half each would keep the fast rank waiting."""
    (slow, total), (fast, _) = on_two_ranks(_unequal, tmp_path)
    assert sorted(slow + fast) == list(range(20)) and len(fast) > len(slow) > 0
    assert total == 20


def _without_collectives(rank, folder):
    torch.distributed.barrier()
    if not rank:  # whoever waits must not do it in one of these
        for name in ('barrier', 'all_reduce', 'all_gather', 'broadcast'):
            setattr(torch.distributed, name, None)
    with SharedWork('key', range(2)).together():
        time.sleep(rank)
    return 'done'


def test_ranks_wait_without_a_collective(tmp_path):
    """R4: its time-out is ten minutes with NCCL, a recording takes hours."""
    assert on_two_ranks(_without_collectives, tmp_path) == ['done', 'done']


def _one_fails(rank, folder):
    work = SharedWork('key', range(10**6))
    with work.together():
        for _ in work.take():
            if rank:
                raise ArithmeticError('of rank 1')
    return 'done'


def test_a_rank_that_fails_ends_the_others(tmp_path):
    """R4"""
    waiting, failed = on_two_ranks(_one_fails, tmp_path)
    assert failed == 'ArithmeticError: of rank 1'
    assert 'another process could not do its part' in waiting


def _one_hangs(rank, folder):
    sharing.STALLED_AFTER = .5
    work = SharedWork('key', range(4))
    if rank:
        time.sleep(1.5)
        return 'hung'
    with work.together():
        list(work.take())
    return 'done'


def test_waiting_has_an_end(tmp_path):
    """R4"""
    waiting, _ = on_two_ranks(_one_hangs, tmp_path)
    assert 'for rank 1, but 4 of 4 pieces of work are finished' in waiting and 'resume' in waiting


def _one_hangs_in_a_piece(rank, folder):
    sharing.STALLED_AFTER = .5
    work = SharedWork('key', range(6))
    with work.together():
        if rank != 1:
            torch.distributed.barrier()
        for _ in work.take():
            if rank == 1:  # the first that has a piece
                torch.distributed.barrier()
                time.sleep(4)


def test_who_hangs_in_a_piece_is_named(tmp_path):
    """Though a third rank waits, too."""
    first, _, third = on_ranks(tmp_path, _outcome, _one_hangs_in_a_piece, tmp_path, world=3)
    assert 'for rank 1, but 5 of 6 pieces' in first and 'for rank 1, but 5 of 6' in third


def _one_is_stopped(rank, folder):
    """It stops itself in its piece, once the other one has heard of it, and is woken in the end."""
    stores = []
    # Not the file that they met at, which a process may be stopped with in its hands.
    port = decided(lambda: stores.append(TCPStore('127.0.0.1', 0, is_master=True,
                                                  wait_for_workers=False)) or stores[0].port)
    store = stores[0] if stores else TCPStore('127.0.0.1', port)
    Heartbeats(store, rank, 2, .1, 1., lambda: 0, lambda: None).start()
    work, pids = SharedWork('key', range(4)), all_gather_object(os.getpid())
    work._store = store
    try:
        with work.together():
            for _ in work.take():
                if rank:
                    time.sleep(.5)
                    os.kill(os.getpid(), signal.SIGSTOP)
                    raise ArithmeticError('woken')
                time.sleep(.1)
    finally:
        if not rank:
            os.kill(pids[1], signal.SIGCONT)


def test_a_rank_without_a_sign_of_life_is_not_waited_for(tmp_path):
    begin = time.monotonic()
    waiting, _ = on_two_ranks(_one_is_stopped, tmp_path)
    assert waiting.startswith('MultiSSLError: no sign of life of rank 1 for '), waiting
    assert time.monotonic() - begin < 20  # far from STALLED_AFTER


def test_a_killed_process_with_the_store_is_said():
    host = subprocess.Popen([sys.executable, '-c', (
        'import sys, torch.distributed as d; s = d.TCPStore("127.0.0.1", 0, is_master=True, '
        'wait_for_workers=False); print(s.port, flush=True); sys.stdin.read()')],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    work = SharedWork('key', range(4))
    work._store = TCPStore('127.0.0.1', int(host.stdout.readline()))
    assert next(work.take()) == 0
    host.kill()
    host.communicate()
    with pytest.raises(MultiSSLError, match='holds the store .* has ended.* is kept: resume'):
        work.finished()


class _Stopped(Store):
    """A store whose process is stopped as soon as two pieces are done."""

    def __init__(self):
        super().__init__()
        self.kept, self.woken = HashStore(), threading.Event()

    def set(self, key, value):
        self.kept.set(key, value)

    def add(self, key, amount):
        if self.kept.add('finished', 0) == 2:
            self.woken.wait(30)
        return self.kept.add(key, amount)


def test_a_store_that_does_not_answer_is_not_waited_for(monkeypatch):
    """Where it is in rank 0, which is stopped."""
    monkeypatch.setattr(sharing, 'TOLD_WITHIN', .1)
    monkeypatch.delenv('TORCHELASTIC_USE_AGENT_STORE', raising=False)
    store = _Stopped()
    beats = Heartbeats(store, 1, 2, .05, .5, lambda: 0, lambda: None)
    beats.start()
    work = SharedWork('key', range(9))
    work._store = store
    with pytest.raises(MultiSSLError, match='no sign of life of rank 0'), work.together():
        list(work.take())
    store.woken.set()
    beats.stop()


def _folders_of_their_own(rank, folder):
    sharing.VISIBLE_WITHIN = .5
    check_shared(folder / f'node{rank}', 'token', 'model.responses.root')


def test_a_folder_that_is_not_shared_is_noticed_before_the_work(tmp_path):
    """R3"""
    first, second = on_two_ranks(_folders_of_their_own, tmp_path)
    for error in (first, second):
        assert 'is not the same folder for all processes' in error and 'noticed by rank 1' in error
        assert 'model.responses.root' in error


def _one_folder(rank, folder):
    check_shared(folder / 'bank', 'token', 'model.responses.root')
    return 'shared'


def test_a_shared_folder_is_left_as_it_was(tmp_path):
    """R3"""
    assert on_two_ranks(_one_folder, tmp_path) == ['shared', 'shared']
    assert not list((tmp_path / 'bank').iterdir())


def test_a_single_process_does_all():
    work = SharedWork('key', 'abc')
    with work.together():
        assert list(work.take()) == ['a', 'b', 'c']
    with pytest.raises(ArithmeticError), SharedWork('key', 'abc').together():
        raise ArithmeticError
