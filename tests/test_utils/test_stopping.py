"""Commands that are asked to stop, or killed, and what they have started."""
import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, suppress
from types import SimpleNamespace

import pytest
from recorded import python_step

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.voc07.svm import in_parallel
from multissl_mm.reproduce import Steps
from multissl_mm.reproduce.plan import Plan
from multissl_mm.reproduce.store import Store
from multissl_mm.utils import cli
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.pool import worker_pool
from multissl_mm.utils.stopping import (
    SIGNALS,
    TRY_AGAIN,
    Ended,
    Interrupted,
    ending,
    later,
    requested,
)

pytestmark = pytest.mark.timeout(120)
#: Says that it is there, and stays; the pipe is at its end when nobody is there any more.
LIVE_ON = """
import signal
file = open(path, 'w')
print('x', end='', file=file, flush=True)
while True:
    signal.pause()
"""


def live_on(path):
    exec(LIVE_ON, dict(path=path))


def in_a_pool(path, folder):
    with worker_pool(2) as pool:
        list(pool.map(live_on, [path] * 40))


def in_joblibs_pool(path, folder):
    def fit(path, features):  # sent as it is, so that workers need not import this file
        exec(live, dict(path=path))

    live, worth_processes = LIVE_ON, SimpleNamespace(size=10**9)
    list(in_parallel(fit, [(path, worth_processes)] * 2, 2, 'fits', progress=True))


def in_a_command(path, folder, jobs=1):
    plan = Plan(Store(folder / 'runs'))
    for i in range(jobs):
        plan.want(python_step(plan.store, f'{i}', f'path = {path!r}\n{LIVE_ON}'))
    plan.carry_out(Steps(folder, jobs=jobs))


def in_two_commands(path, folder):
    in_a_command(path, folder, jobs=2)


def beside_a_command(path, folder):
    """In what is done once another one has finished."""
    plan = Plan(Store(folder / 'runs'))
    for name, code in ('there', 'import sys; open(sys.argv[1], "w")'), ('running', LIVE_ON):
        plan.want(python_step(plan.store, name, f'path = {path!r}\n{code}'),
                  (lambda: live_on(path)) if name == 'there' else lambda: None)
    plan.carry_out(Steps(folder, jobs=2))


@pytest.mark.parametrize('work, number', [
    (in_a_pool, signal.SIGTERM), (in_a_pool, signal.SIGINT), (in_a_pool, signal.SIGKILL),
    (in_joblibs_pool, signal.SIGTERM), (in_a_command, signal.SIGTERM),
    (in_two_commands, signal.SIGUSR1), (beside_a_command, signal.SIGTERM)])
def test_nothing_runs_on(tmp_path, capfd, work, number):
    """Workers of a pool waited for work for ever, commands ran to their end."""
    path = str(tmp_path / 'pipe')
    os.mkfifo(path)

    def tool():
        os.setsid()  # no terminal of pytest's
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run_tool(lambda: work(path, tmp_path))
        finally:
            open(path, 'w').close()  # whoever waits for work that failed before it was there

    process = multiprocessing.get_context('fork').Process(target=tool)
    process.start()
    try:
        with open(path) as file:  # once the first is there
            there = file.read(1 if work is in_a_command else 2)
            os.kill(process.pid, number)
            process.join(100)
            assert there + file.read() in ('x', 'xx')
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if number == signal.SIGKILL:
        assert process.exitcode == -number
        return
    assert process.exitcode == 128 + number
    err = capfd.readouterr().err
    assert f'ended by {signal.Signals(number).name}' in err and 'Traceback' not in err


def test_other_ends_of_a_pool():
    with worker_pool(0, prepare=lambda: None) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
    with pytest.raises(ZeroDivisionError), worker_pool(1) as pool:
        pool.submit(divmod, 1, 0).result()
    with pytest.raises(BrokenProcessPool), worker_pool(1) as pool:
        pool.submit(os._exit, 3).result()


def test_on_its_way_out_with_75_a_rank_stays_so(monkeypatch, capsys):
    """Once one has ended a launcher signals the others: they died of it."""
    left = []

    def leave(status):
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        left.append(status)

    def work():
        raise Interrupted('kept')

    monkeypatch.setattr(cli, '_leave_group', leave)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        run_tool(work)
    assert left == [TRY_AGAIN] and 'kept' in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize('error', [None, MultiSSLError('a worker was killed')])
def test_a_block_ends_where_it_is(error):
    """Once; whatever error comes of it."""
    before, cleaned = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(Ended, match='143') as ended, ending():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Ended:
            os.kill(os.getpid(), signal.SIGTERM)  # schedulers repeat
            cleaned.append(requested())
            if error is not None:
                raise error from None
            raise
    assert cleaned == ['SIGTERM'] and 'ended by SIGTERM' in ended.value.message
    assert requested() is None and signal.getsignal(signal.SIGTERM) is before


def test_a_block_ends_later():
    done = []
    with pytest.raises(Ended), ending():
        with later():
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append('to its end')
        done.append('never')
    assert done == ['to its end']
    with later():
        pass


@pytest.mark.parametrize('error', [None, MultiSSLError, SystemExit])
def test_other_ends_of_a_block_stay(error):
    with pytest.raises(error) if error else nullcontext(), ending():
        if error:
            raise error('for a reason')
