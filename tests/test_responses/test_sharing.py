"""What ranks share when they record, each test on two gloo processes."""
import time

import pytest
import torch.distributed
from mmengine.dist import get_rank
from ranks import on_ranks

from multissl_mm.errors import MultiSSLError
from multissl_mm.responses import sharing
from multissl_mm.responses.sharing import SharedWork, check_shared
from multissl_mm.runtime.processes import decided


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
    assert '4 of 4 pieces of work are finished' in waiting and 'resume' in waiting


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
