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
from multissl_mm.utils.checkpoint import check_content, load_checkpoint_file

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
                if 'run_info' in self.name:
                    return write(self, data)
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
        assert code == -signal.SIGKILL
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
        except MultiSSLError:
            continue
        try:
            found = load_checkpoint_file(path)
        except MultiSSLError as error:  # of the file's layout, which nobody reads for what it says
            assert str(path) in str(error)
            continue
        silent += 1
        assert_same(found, content)
    assert silent < 100
