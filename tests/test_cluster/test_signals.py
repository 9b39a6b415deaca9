"""Real runs of two processes behind their launcher, and what clusters do to them."""
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny
from ranks import PORT_TAKEN
from runs import assert_same, last_checkpoint

pytestmark = pytest.mark.timeout(900)
ROOT = Path(tiny.__file__).parent.parent


class Job:
    """``tools/dist_train.sh`` with two ranks, and all its processes."""

    def __init__(self, folder, config, *arguments):
        self.log = folder / f'log{len(list(folder.glob("log*")))}.txt'
        env = {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': ''}
        with open(self.log, 'w') as out:
            # As from a terminal: where a shell has put these tests into the background, SIGINT is
            # ignored, which children inherit.
            self.launcher = subprocess.Popen(
                ['bash', 'tools/dist_train.sh', str(config), '2', *arguments], cwd=ROOT, env=env,
                stdout=out, stderr=out,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    @property
    def text(self):
        return self.log.read_text()

    def wait_for(self, pattern, seconds=400):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < end and self.launcher.poll() is None, self.text[-3000:]
            time.sleep(.1)

    def processes(self):
        """Process ids: the launcher's, then torchrun's, then all others."""
        found = [self.launcher.pid]
        for pid in found:
            found += children(pid)
        return found

    def ranks(self):
        return sorted(children(children(self.launcher.pid)[0]))

    def end(self, seconds=400):
        """The launcher's status; then everything that it started must end, too."""
        before = self.processes()
        status = self.launcher.wait(seconds)
        end = time.monotonic() + 60  # loaders look after their parent every few seconds
        while any(str(self.launcher.args[2]) in command(pid) for pid in before):
            assert time.monotonic() < end, 'something runs on'
            time.sleep(.2)
        return status


def command(pid):
    try:
        return Path(f'/proc/{pid}/cmdline').read_text()
    except OSError:  # it has ended
        return ''


def children(pid):
    try:
        text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


@pytest.fixture
def config(tmp_path, tmp_path_factory):
    images = tiny.write_images(tmp_path_factory.mktemp('many'), 160)
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'work', log_level='INFO',
                           train_dataloader__num_workers=1, train_dataloader__batch_size=4)
    cfg.default_hooks.checkpoint.type = 'multissl_mm.AtomicCheckpointHook'  # 20 steps an epoch
    cfg.custom_hooks = [dict(type='multissl_mm.HeartbeatHook', after=10.)]
    cfg.dump(tmp_path / 'config.py')
    return tmp_path / 'config.py'


def test_asked_to_stop(tmp_path, config):
    """The short form of what follows."""
    for last in (False, False, True):
        # Far from its end, however late the signal comes.
        job = Job(tmp_path, config, '--cfg-options', 'train_cfg.stages=[100,100]')
        try:
            job.wait_for(r'Epoch\(train\) ')
            break
        except AssertionError:
            if last or PORT_TAKEN not in job.text:
                raise
    os.kill(job.launcher.pid, signal.SIGTERM)
    assert job.end() == 75, job.text[-3000:]
    steps = set(re.findall(r'asked to stop: step (\d+) ', job.text))
    assert steps == {str(last_checkpoint(tmp_path / 'work')['meta']['iter'])}


@pytest.mark.faults
def test_asked_to_stop_again_and_again(tmp_path, config):
    """Six times, by each signal to the launcher and to all processes; to the same bits."""
    assert Job(tmp_path, config, '--work-dir', str(tmp_path / 'whole')).end() == 0
    done = 0
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        for to_all in (False, True):
            job = Job(tmp_path, config, '--work-dir', str(tmp_path / 'work'), '--resume')
            job.wait_for(r'Epoch\(train\) ')
            begin = time.monotonic()
            for pid in job.processes() if to_all and number != signal.SIGINT else \
                    [job.launcher.pid]:
                os.kill(pid, number)
            status = job.end()
            took = time.monotonic() - begin
            assert status == 75, job.text[-3000:]
            # A step, or, between the two stages, so many of the responses.
            steps = set(re.findall(r'asked to stop: (?:step (\d+) |\d+ of \d+ pieces)', job.text))
            assert len(steps) == 1, job.text[-3000:]  # one and the same on both ranks
            step = int(*steps) if any(steps) else 40
            print(f'{number.name} {"all" if to_all else "launcher"}: {took:.1f} s, step {step}')
            assert took < 30 and done < step
            done = step
    assert Job(tmp_path, config, '--work-dir', str(tmp_path / 'work'), '--resume').end() == 0
    a, b = last_checkpoint(tmp_path / 'whole'), last_checkpoint(tmp_path / 'work')
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(a[key], b[key], key)


@pytest.mark.faults
def test_a_stopped_rank_is_named_and_ends_the_job(tmp_path, config):
    for stopped in (0, 1):
        job = Job(tmp_path, config, '--work-dir', str(tmp_path / f'work{stopped}'),
                  '--cfg-options', 'env_cfg.dist_cfg.timeout=30')
        job.wait_for(r'Epoch\(train\) ')
        begin = time.monotonic()
        os.kill(job.ranks()[stopped], signal.SIGSTOP)
        job.wait_for(rf'\[rank {1 - stopped}\] no step for \d+ s: rank {stopped} gives no sign of '
                     'life', 25)  # `after`, and what a beat takes
        assert job.end() == 1
        assert time.monotonic() - begin < 100  # 30, and torchrun waits for 30 before it kills


def stop_in_recording(work, pid):
    """Stops a process as soon as the first shard is there; says when."""
    end = time.monotonic() + 400
    while not list(work.glob('responses/**/*.npy')):
        assert time.monotonic() < end
        time.sleep(.01)
    os.kill(pid, signal.SIGSTOP)
    return time.monotonic()


@pytest.mark.faults
def test_a_rank_that_is_stopped_while_others_record_ends_the_job(tmp_path, config):
    """The others do its shards, but wait for it no longer than for anybody."""
    job = Job(tmp_path, config, '--cfg-options', 'env_cfg.dist_cfg.timeout=25',
              'train_cfg.stages=[1,1]', 'model.responses.shard_size=2')
    job.wait_for(r'recording the responses')
    begin = stop_in_recording(tmp_path / 'work', job.ranks()[0])
    job.wait_for(r'\[rank 1\] error: no sign of life of rank 0 for env_cfg.dist_cfg.timeout', 60)
    assert job.end() == 1
    assert time.monotonic() - begin < 100


@contextmanager
def without_a_launcher(folder, config, *arguments):
    """Two ranks as Slurm starts them, of which 0 has the store."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = str(s.getsockname()[1])
    ranks = []
    for rank in range(2):
        env = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'RANK': str(rank), 'WORLD_SIZE': '2',
               'LOCAL_RANK': str(rank), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
        with open(folder / f'rank{rank}.txt', 'w') as out:
            ranks.append(subprocess.Popen(
                [sys.executable, 'tools/train.py', str(config), '--launcher', 'pytorch',
                 *arguments], cwd=ROOT, env=env, stdout=out, stderr=out))
    try:
        yield ranks
    finally:
        for process in ranks:
            process.kill()
            process.wait()


@pytest.mark.faults
@pytest.mark.parametrize('recording', [False, True])
def test_the_rank_with_the_store_is_stopped(tmp_path, config, recording):
    """No launcher holds it, and nobody can ask it any more; the other rank ends all the same."""
    with without_a_launcher(tmp_path, config, '--cfg-options', 'env_cfg.dist_cfg.timeout=25',
                            f'train_cfg.stages=[{1 if recording else 9},1]',
                            'model.responses.shard_size=2') as (first, other):
        while not re.search(r'recording the resp' if recording else r'Epoch\(train\) ',
                            (tmp_path / 'rank0.txt').read_text()):
            assert first.poll() is None and other.poll() is None
            time.sleep(.1)
        if recording:
            begin = stop_in_recording(tmp_path / 'work', first.pid)
        else:
            begin = time.monotonic()
            first.send_signal(signal.SIGSTOP)
        assert other.wait(90) != 0
        text = (tmp_path / 'rank1.txt').read_text()
        print(f'{time.monotonic() - begin:.0f} s', text[-1000:])
        assert re.search(r'\[rank 1\] no step for \d+ s: rank 0 gives no sign of life', text)
        if recording:
            assert other.returncode == 1 and '[rank 1] error: no sign of life of rank 0' in text


@pytest.mark.faults
def test_restarts_come_to_the_same_weights(tmp_path, config):
    """A rank is killed, stopped, killed; torchrun starts all again, which resume untold."""
    assert Job(tmp_path, config, '--work-dir', str(tmp_path / 'whole')).end() == 0
    job = Job(tmp_path, config, '--max-restarts', '3', '--cfg-options',
              'env_cfg.dist_cfg.timeout=30')
    for epoch, number in enumerate((signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL), 1):
        job.wait_for(rf'Saving checkpoint at {epoch} epochs')
        os.kill(job.ranks()[epoch % 2], number)
    assert job.end() == 0, job.text[-3000:]
    assert job.text.count('resumed epoch') >= 2
    assert re.search(r'rank \d gives no sign of life', job.text), job.text[-3000:]
    a, b = last_checkpoint(tmp_path / 'whole'), last_checkpoint(tmp_path / 'work')
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(a[key], b[key], key)
