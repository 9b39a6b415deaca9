"""Killed at random moments, for real: what is left is whole, and resumed to the same bits.

`make test-faults`; MULTISSL_FAULTS_SEED changes the moments.
"""
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import sounds
import tiny
import torch
import toy
from runs import assert_same, last_checkpoint

from multissl_mm import runtime
from multissl_mm.errors import MultiSSLError
from multissl_mm.responses.bank import ResponseBank
from multissl_mm.utils import files
from multissl_mm.utils.checkpoint import check_content

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
SEED = int(os.environ.get('MULTISSL_FAULTS_SEED', 0))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def go_on(cfg, prepare=lambda: None) -> None:
    """As `tools/train.py --resume` does."""
    torch.set_num_threads(1)
    prepare()
    cfg.experiment_name = f'{Path(cfg.work_dir).name}_{os.getpid()}'
    options = runtime.RunOptions('config.py', resume='auto')
    runtime.build_runner(runtime.prepare_cfg(cfg, options), options).train()


def child(cfg, prepare=lambda: None, kill_after=None):
    """Runs in a fork; returns its exit code (minus a signal) and the seconds that it took."""
    process = multiprocessing.get_context('fork').Process(target=go_on, args=(cfg, prepare))
    start = time.monotonic()
    process.start()
    process.join(kill_after or 300)
    if kill_after:
        process.kill()
        process.join()
    return process.exitcode, time.monotonic() - start


def assert_equal_ends(a, b):
    whole, broken = last_checkpoint(a), last_checkpoint(b)
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(whole[key], broken[key], key)
    assert not list(Path(b).rglob('*.partial'))


def pictures(folder, images, source='stored', **options):
    options = dict(dict(train_dataloader__num_workers=1), **options)
    if source == 'teacher':
        options['model__responses'] = dict(source='teacher', replicas=2)
    return tiny.tiny_config('il_mocov2_densecl', images, folder, **options)


STEPS = dict(default_hooks__checkpoint=dict(  # 3 steps an epoch, 6 a stage
    type='multissl_mm.AtomicCheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=2))


@pytest.mark.parametrize('kind', ['stored', 'teacher', 'by step', 'sound'])
def test_random_kills(images, scenes, tmp_path, kind):
    """10 kills of each kind: 40 in all."""
    def config(name):
        if kind == 'sound':
            return sounds.sound_config('il_b_c_a', scenes, tmp_path / name)
        return pictures(tmp_path / name, images, 'teacher' if kind == 'teacher' else 'stored',
                        **(STEPS if kind == 'by step' else {}))

    code, seconds = child(config('whole'))
    assert code == 0
    rng, killed, round_ = random.Random(f'{SEED}{kind}'), 0, 0
    while killed < 10:
        folder = f'broken{round_}'
        round_ += 1
        finished = False
        while not finished:
            after = rng.uniform(.1, 1.) * seconds if killed < 10 else None
            code, _ = child(config(folder), kill_after=after)
            finished = code == 0
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
        assert_equal_ends(tmp_path / 'whole', tmp_path / folder)


def test_kills_while_a_checkpoint_is_written(tmp_path):
    """30 kills, each after a random part of the bytes of a random file."""
    rng = random.Random(SEED)
    for trial in range(30):
        folder, at, part = tmp_path / str(trial), rng.randrange(1, 7), rng.random()

        def tear(at=at, part=part):
            write, count = Path.write_bytes, [0]

            def torn(self, data):
                count[0] += 1
                write(self, data[:int(part * len(data))] if count[0] == at else data)
                if count[0] == at:
                    die()

            files.Path.write_bytes = torn

        code, _ = child(toy.config(folder, epochs=4, checkpoint=dict(interval=1)), tear)
        assert code == -signal.SIGKILL
        newest = runtime.newest_checkpoint(str(folder))
        assert newest is None if at == 1 else torch.load(newest, weights_only=False)
        for path in folder.glob('*.pth'):
            check_content(str(path))


def test_kills_while_responses_are_recorded(images, tmp_path):
    """10 kills in a row of the same recording."""
    options = dict(model__responses=dict(source='stored', replicas=2, dtype='float32',
                                         shard_size=4))
    assert child(pictures(tmp_path / 'whole', images, **options))[0] == 0
    rng = random.Random(SEED)
    for shards in [rng.randrange(1, 3) for _ in range(10)]:
        def tear(at=shards):
            write, count = ResponseBank.write, [0]

            def torn(self, replica, shard, batches):
                count[0] += 1
                if count[0] == at:
                    next(iter(batches))
                    die()
                return write(self, replica, shard, batches)

            ResponseBank.write = torn

        code, _ = child(pictures(tmp_path / 'broken', images, **options), tear)
        assert code in (0, -signal.SIGKILL)
    assert child(pictures(tmp_path / 'broken', images, **options))[0] == 0
    assert_equal_ends(tmp_path / 'whole', tmp_path / 'broken')


def test_flipped_bits_of_checkpoints(tmp_path):
    """300 flips anywhere in a file: noticed, or without any consequence."""
    path, rng = tmp_path / 'a.pth', random.Random(SEED)
    content = dict(state_dict=dict(a=torch.randn(100, 100)), meta=dict(epoch=1, text='x' * 200))
    torch.save(content, path)
    whole, silent = path.read_bytes(), 0
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            check_content(str(path))
            found = torch.load(path, weights_only=False)
        except (MultiSSLError, Exception):
            continue
        silent += 1
        assert_same(found, content)
    assert silent < 100


def draw(rows, every, path):
    """Memory, descriptors and the time of a step over the steps, as a picture."""
    from matplotlib.figure import Figure
    times, memory, descriptors = zip(*rows)
    steps = [every * (i + 1) for i in range(len(rows))]
    pace = [1000 * (b - a) / every for a, b in zip(times, times[1:])]
    figure = Figure(figsize=(9, 3), layout='constrained')
    for axes, x, y, label in zip(figure.subplots(1, 3), (steps, steps, steps[1:]),
                                 (memory, descriptors, pace),
                                 ('memory (MB)', 'descriptors', 'time of a step (ms)')):
        axes.plot(x, y)
        axes.set(xlabel='step', ylabel=label, ylim=(0, 1.2 * max(y)))
    figure.savefig(path)


@pytest.mark.parametrize('name', ['mtl_mocov2_densecl', 'il_mocov2_densecl'])
def test_soak(images, tmp_path, name):
    """2,000 steps with two workers: memory and descriptors stay; the time of a step is drawn, too.

    The picture of them is in the folder ARTIFACTS, if that is set.
    """
    from mmengine.hooks import Hook

    class Meter(Hook):
        rows = []

        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter % 100 == 99:
                pages = int(Path('/proc/self/statm').read_text().split()[1])
                self.rows.append((time.monotonic(), pages * 4096 / 1e6,
                                  len(os.listdir('/proc/self/fd'))))

    cfg = tiny.tiny_config(name, images, tmp_path, train_dataloader__num_workers=2,
                           train_dataloader__persistent_workers=True,
                           default_hooks__checkpoint=dict(
                               type='multissl_mm.AtomicCheckpointHook', interval=100,
                               max_keep_ckpts=1))
    cfg.train_cfg.update(dict(stages=[300, 400]) if 'il_' in name else dict(max_epochs=700))
    cfg.default_hooks.logger.interval = 100
    options = runtime.RunOptions('config.py')
    runner, meter = runtime.build_runner(runtime.prepare_cfg(cfg, options), options), Meter()
    runner.register_hook(meter)
    shared = set(os.listdir('/dev/shm'))
    runner.train()
    rows = Meter.rows[-21:]
    print(f'{name}: MB {[round(mb) for _, mb, _ in rows]}, descriptors {[n for *_, n in rows]}')
    draw(rows, 100, Path(os.environ.get('ARTIFACTS', tmp_path)) / f'soak_{name}.png')
    half = rows[len(rows) // 2:]  # of an incremental run: within stage 2
    assert max(mb for _, mb, _ in half) < 1.05 * half[0][1]
    # A look may fall into a checkpoint that is being written, or into the loader's queues.
    assert max(n for *_, n in half) <= max(n for *_, n in rows[:len(rows) // 2]) + 2
    Meter.rows.clear()
    assert not {n for n in set(os.listdir('/dev/shm')) - shared if n.startswith('torch_')}
