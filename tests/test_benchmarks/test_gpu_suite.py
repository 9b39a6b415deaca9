"""The GPU's suite, tiny and on the CPU: all parts run, and a failure is seen and loses nothing."""
import json
import os
import subprocess
from pathlib import Path

import pytest
import tiny
from commands import run_tool

from multissl_mm.benchmarks import gpu_suite
from multissl_mm.benchmarks.gpu_suite import DRY, run_suite


def test_dry_run(tmp_path):
    out = tmp_path / 'gpu.json'
    done = run_tool('benchmarks/gpu_suite.py', '--dry', '--out', out)
    assert done.status == 0, done.err
    found = {name: part['found'] for name, part in json.loads(out.read_text()).items()}
    tasks = ['mocov2', 'densecl', 'simclr', 'byol', 'simsiam', 'barlowtwins', 'swav', 'sound a',
             'sound b', 'sound b_mask', 'sound c']
    assert {name for name in found if name.startswith('parity')} == {
        f'parity of {task}' for task in tasks}
    for task in tasks:
        part = found[f'parity of {task}']
        assert set(part) == {'cpu', 'fp32', 'channels_last', 'compile', 'bf16'}
        assert part['cpu'] and all(name.startswith(task.removeprefix('sound ')[0])
                                   for name in part['cpu'])
        assert part['bf16'] != part['cpu'] == part['fp32']
    for precision in ('float32', 'bfloat16'):
        table = found[f'steps in {precision}']
        assert table['rates'].keys() == table['of_limit'].keys() | {'supervised'}
    assert found['one rank']['backend'] == 'gloo' and found['kill and resume']['away'] == 0
    assert sum(name.startswith('no wait') for name in found) == 3 and 'machine' in found
    assert len(found['loader']) == 4


def test_failures_lose_nothing(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError('no kernel image')

    monkeypatch.setattr(gpu_suite, 'parts', lambda *args: dict(
        a=lambda: dict(x=1), b=broken, c=lambda: dict(y=2)))
    out = tmp_path / 'gpu.json'
    done = run_tool('benchmarks/gpu_suite.py', '--dry', '--out', out)
    assert done.status == 1 and '1 parts failed' in done.err and done.err.endswith(': b')
    found = json.loads(out.read_text())
    assert found['a']['found'] == dict(x=1) and found['c']['found'] == dict(y=2)
    assert 'RuntimeError: no kernel image' in found['b']['error']
    assert run_suite(out, 'cpu', DRY, seconds=-1) == ['a', 'b', 'c']
    assert 'not begun: -1 s are over' in json.loads(out.read_text())['c']['error']


def test_parity_sees_what_is_far(monkeypatch):
    cfg = next(iter(gpu_suite.task_configs(DRY.parity)))
    ways = iter([5., 5.001, 5.2, 5.001, 5.1])
    monkeypatch.setattr(gpu_suite, 'losses', lambda *args: {'mocov2.loss': next(ways)})
    with pytest.raises(AssertionError, match='^mocov2.loss by channels_last is 5.2, 5 on the CPU$'):
        gpu_suite.parity(cfg, DRY, 'cpu')


def test_parity_sees_broken_gradients(scope):
    cfg = next(iter(gpu_suite.task_configs(DRY.parity)))
    model = gpu_suite.build(cfg)
    next(iter(model.backbone.parameters())).register_hook(lambda g: g * float('nan'))
    with pytest.raises(AssertionError, match='not finite: .*backbone.conv1.weight'):
        gpu_suite.losses(model, gpu_suite.batch(cfg, DRY.parity), 'cpu')


def test_the_script_brings_its_packages(tmp_path):
    """Wheels into a folder of this run alone, before the project, and away afterwards."""
    fake = tmp_path / 'python'
    fake.write_text('#!/bin/sh\nprintf "[%s]" "$PYTHONPATH" "$@"; echo; exit 3\n')
    fake.chmod(0o755)
    script = str(Path(tiny.__file__).parent.parent / 'tools/benchmarks/gpu_suite.sh')
    env = {**os.environ, 'PYTHON': str(fake), 'PYTHONPATH': ''}

    def run(**more):
        return subprocess.run(['bash', script, '--dry', '--out', 'a b'], env={**env, **more},
                              capture_output=True, text=True)

    done = run()
    assert done.returncode == 3 and done.stdout.endswith('gpu_suite.py][--dry][--out][a b]\n')
    (tmp_path / 'x-1-py3-none-any.whl').touch()
    fake.write_text(fake.read_text().replace('exit 3', '[ "$1" = -m ] || exit 3'))
    done = run(WHEELS=str(tmp_path))
    pip, suite = done.stdout.splitlines()
    assert done.returncode == 3 and pip.endswith(f'[{tmp_path}/x-1-py3-none-any.whl]')
    packages = pip.split('[--target][')[1].split(']')[0]
    assert suite.startswith('[') and suite.split(']')[0].endswith(f':{packages}')
    assert not Path(packages).exists()
    (tmp_path / 'brought.py').touch()
    subprocess.run(['tar', '-cJf', 'p.tar.xz', 'brought.py'], cwd=tmp_path, check=True)
    fake.write_text('#!/bin/sh\nls "${PYTHONPATH#*:}"\n')
    assert run(WHEELS=str(tmp_path / 'p.tar.xz')).stdout == 'brought.py\n'
