"""Disks that are full, rationed or read-only, for real: where this process may mount some.

`make test-faults` as root on Linux, whose users are otherwise spared; each test has mounts of its
own, which end with it.
"""
import ctypes
import multiprocessing
import os
import shutil
import subprocess
import sys
import traceback

import pytest
import sounds
import tiny
import torch
import toy
from runs import assert_same, last_checkpoint

from multissl_mm import runtime
from multissl_mm.converters.omniaudio import convert
from multissl_mm.engine.hooks import ILStageHook
from multissl_mm.utils.checkpoint import check_content
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.stopping import listening

pytestmark = [
    pytest.mark.faults, pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != 'linux' or os.geteuid() != 0, reason='mounts disks')]
NOT_HERE = 77
NEW_MOUNTS = 0x20000


class Disk:
    """A file system of some MB, or a share of one, at a folder of this process alone."""

    def __init__(self, folder, kind, mb=0):
        self.folder, self.kind = folder, kind
        folder.mkdir(exist_ok=True)
        if kind == 'full':
            mount('-t', 'tmpfs', '-o', f'size={mb}m', 'none', folder)
        elif kind == 'read-only':
            mount('--bind', folder, folder)
        else:  # Btrfs has quotas in kernels that have none for ext4 and XFS, and for root, too
            image, whole = folder.with_suffix('.img'), folder.with_suffix('.whole')
            with open(image, 'wb') as file:
                file.truncate(256 << 20)
            whole.mkdir()
            run('mkfs.btrfs', '-q', image)
            mount('-o', 'loop', image, whole)
            run('btrfs', 'subvolume', 'create', whole / 'share')
            run('btrfs', 'quota', 'enable', whole)
            mount('--bind', whole / 'share', folder)
        self.resize(mb)

    def resize(self, mb):
        if self.kind == 'full':
            mount('-o', f'remount,size={mb}m', self.folder)
        elif self.kind == 'read-only':
            mount('-o', f'remount,bind,{"rw" if mb else "ro"}', self.folder)
        else:
            run('btrfs', 'qgroup', 'limit', f'{mb}M', self.folder)


def fill(folder, left=0):
    """Writes to a disk until it is full but for some bytes."""
    with open(folder / 'filler', 'wb', 0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
        if left:  # not on Btrfs, which needs room to make some
            file.truncate(file.tell() - left)


def run(*command):
    try:
        subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(error, getattr(error, 'stderr', ''))
        os._exit(NOT_HERE)  # no loop devices, no quotas, a container that may not


def mount(*arguments):
    run('mount', *arguments)


def apart(function, *arguments):
    """Calls a function in a fork with mounts of its own, which it must not end with an error."""
    def child():
        torch.set_num_threads(1)
        if ctypes.CDLL(None).unshare(NEW_MOUNTS):
            os._exit(NOT_HERE)
        mount('--make-rprivate', '/')
        try:
            function(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    process.join(600)
    process.kill()
    if process.exitcode == NOT_HERE:
        pytest.skip('no such disk can be had here')
    assert process.exitcode == 0


def train(cfg, log, **options):
    """As `tools/train.py` does; its status and what it printed."""
    def tool():
        cfg.experiment_name = f'{log.stem}_{os.getpid()}'
        chosen = runtime.RunOptions('config.py', **options)
        runner = runtime.build_runner(runtime.prepare_cfg(cfg, chosen), chosen)
        with listening():
            runner.train()

    return printed(tool, log)


def printed(function, log):
    def child():
        with open(log, 'w') as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        # Those of pytest are files of its own.
        sys.stdout, sys.stderr = (open(fd, 'w', buffering=1, closefd=False) for fd in (1, 2))
        run_tool(function)

    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    process.join()
    text = log.read_text()
    assert 'Traceback' not in text, text[-3000:]
    return process.exitcode, text


@pytest.fixture
def show(capfd):
    yield
    print(capfd.readouterr().out)


@pytest.mark.parametrize('kind', ['full', 'quota'])
def test_checkpoints(tmp_path, kind):
    """What is there stays whole, the run goes on, says so at its end, and can be resumed."""
    def config(folder):
        return toy.config(folder, epochs=6, checkpoint=dict(interval=1), weight_mb=1)

    def there():
        disk = Disk(tmp_path / 'disk', kind, 4)
        status, text = train(config(disk.folder), tmp_path / 'a.log')
        assert status == 1 and 'training goes on without this checkpoint' in text, text[-3000:]
        assert 'training is through, but ' in text.splitlines()[-1], text[-3000:]
        kept = sorted(disk.folder.glob('*.pth'))
        assert 0 < len(kept) < 6
        for path in kept:
            check_content(str(path))
        assert not list(disk.folder.rglob('*.partial'))
        print(f'{kind}: {len(kept)} of 6 checkpoints are there')
        disk.resize(20)
        status, text = train(config(disk.folder), tmp_path / 'b.log', resume='auto')
        assert status == 0, text[-3000:]
        assert train(config(tmp_path / 'whole'), tmp_path / 'c.log')[0] == 0
        a, b = last_checkpoint(tmp_path / 'whole'), last_checkpoint(disk.folder)
        for key in ('state_dict', 'optimizer'):
            assert_same(a[key], b[key], key)

    apart(there)


def test_not_a_byte_is_left(tmp_path):
    """Filled by somebody else in the middle of a run: its logs, too, cannot be written."""
    def there():
        disk = Disk(tmp_path / 'disk', 'full', 4)
        cfg = toy.config(disk.folder, epochs=40, checkpoint=dict(interval=2))  # 20 KB of logs
        steps, forward = [], toy.ToyModel.forward

        def then(*args, **kwargs):
            steps.append(1)
            if len(steps) == 5:
                fill(disk.folder)
            return forward(*args, **kwargs)

        toy.ToyModel.forward = then
        status, text = train(cfg, tmp_path / 'a.log')
        assert status == 1, text[-3000:]
        assert text.count('[logs] ') == 1 and 'training is through' in text.splitlines()[-1]
        assert 0 < len(list(disk.folder.glob('*.pth'))) < 20
        for path in disk.folder.glob('*.pth'):
            check_content(str(path))
        toy.ToyModel.forward = forward
        (disk.folder / 'filler').unlink()
        assert train(cfg, tmp_path / 'b.log', resume='auto')[0] == 0

    apart(there)


@pytest.mark.parametrize('kind', ['full', 'quota', 'read-only'])
def test_stored_responses(images, tmp_path, kind):
    """No room in the middle of the recording; the same command goes on when there is."""
    def config(folder):
        return tiny.tiny_config('il_mocov2_densecl', images, tmp_path / folder,
                                model__responses=dict(source='stored', replicas=2, shard_size=4,
                                                      dtype='float32', root=str(bank)))

    bank = tmp_path / 'bank'

    def there():
        assert train(config('whole'), tmp_path / 'a.log')[0] == 0
        shutil.rmtree(bank)
        bank.mkdir()
        disk, keep = Disk(bank, kind, 40), ILStageHook._keep_checkpoint

        def then(*args):  # behind all checks that a run begins with
            keep(*args)
            disk.resize(0 if kind == 'read-only' else 1)
            if kind != 'read-only':
                fill(bank, left=40000 if kind == 'full' else 0)

        ILStageHook._keep_checkpoint = then
        status, text = train(config('work'), tmp_path / 'b.log')
        assert status == 1 and str(bank) in text.splitlines()[-1], text[-3000:]
        print(f'{kind}: {text.splitlines()[-1]}')
        ILStageHook._keep_checkpoint = keep
        disk.resize(40)
        (bank / 'filler').unlink(missing_ok=True)
        status, text = train(config('work'), tmp_path / 'c.log', resume='auto')
        assert status == 0, text[-3000:]
        a, b = last_checkpoint(tmp_path / 'whole'), last_checkpoint(tmp_path / 'work')
        for key in ('state_dict', 'optimizer'):
            assert_same(a[key], b[key], key)

    apart(there)


def test_what_can_only_be_read(images, tmp_path):
    """Data and a complete bank are enough; what is to be written is refused before the start."""
    def config(folder, root=tmp_path / 'bank'):
        return tiny.tiny_config('il_mocov2_densecl', data, tmp_path / folder,
                                model__responses=dict(source='stored', replicas=2,
                                                      dtype='float32', root=str(root)))

    data = shutil.copytree(images, tmp_path / 'data')

    def there():
        Disk(data, 'read-only')
        status, text = train(config('work'), tmp_path / 'a.log')
        assert status == 0, text[-3000:]
        Disk(tmp_path / 'bank', 'read-only')
        os.environ['TMPDIR'] = str(data)
        status, text = train(config('again'), tmp_path / 'b.log')  # the same weights
        assert status == 0, text[-3000:]
        a, b = last_checkpoint(tmp_path / 'work'), last_checkpoint(tmp_path / 'again')
        assert_same(a['state_dict'], b['state_dict'])
        for folder, root, named in (('third', data / 'bank', data / 'bank'),
                                    ('data/work', tmp_path / 'bank', data / 'work')):
            status, text = train(config(folder, root), tmp_path / 'c.log')
            assert status == 1 and 'Read-only file system' in text.splitlines()[-1], text[-3000:]
            assert str(named) in text.splitlines()[-1] and 'Epoch(train)' not in text
            print(text.splitlines()[-1])

    apart(there)


def test_a_converter(tmp_path):
    """One line of the disk, none of scenes; finished ones are kept, the same command goes on."""
    def there():
        root = tmp_path / 'public'
        sounds.write_omniaudio(root, 0, 3, sounds.HOW._replace(seconds=6.), workers=1)
        disk = Disk(tmp_path / 'out', 'full', 1)
        fill(disk.folder, left=450000)
        status, text = printed(lambda: print(convert(root, disk.folder, sounds.CONVERTED)),
                               tmp_path / 'a.log')
        assert status == 1 and 'cannot be written' in text.splitlines()[-1], text[-3000:]
        print(text.splitlines()[-1], sorted(os.listdir(disk.folder)))
        assert not (disk.folder / 'index.json').exists()
        disk.resize(10)
        assert len(convert(root, disk.folder, sounds.CONVERTED).good) == 3

    apart(there)
