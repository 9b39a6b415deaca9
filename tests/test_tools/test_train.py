"""The tools as their users start them."""
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from ranks import PORT_TAKEN
from torch.testing._internal.distributed.fake_pg import FakeStore

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.cli import run_tool

ROOT = Path(tiny.__file__).parent.parent


def run(*command: object) -> subprocess.CompletedProcess:
    env = {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': ''}
    for _ in range(3):
        done = subprocess.run(list(map(str, command)), cwd=ROOT, env=env, capture_output=True,
                              text=True, timeout=240)
        if PORT_TAKEN not in done.stderr:
            break
    return done


def write_config(name: str, images: Path, tmp_path: Path, **options) -> Path:
    cfg = tiny.tiny_config(name, images, tmp_path / 'work', **options)
    cfg.dump(tmp_path / 'config.py')
    return tmp_path / 'config.py'


def test_two_processes_on_the_cpu_then_resume(tmp_path, images):
    config = write_config('mocov2', images, tmp_path)
    done = run('bash', 'tools/dist_train.sh', config, 2, '--cfg-options', 'train_cfg.max_epochs=1')
    assert done.returncode == 0, done.stderr[-3000:]
    work = tmp_path / 'work'
    info = json.loads((work / 'run_info.json').read_text())
    assert info['world_size'] == 2 and info['seed'] == 0 and 'torch' in info['versions']
    assert '--launcher pytorch' in info['command'] and info['config'] == str(config)

    # on one process, from the newest checkpoint
    done = run(sys.executable, 'tools/train.py', config, '--resume', '--accept-changes')
    assert done.returncode == 0, done.stderr[-3000:]
    weights = torch.load(work / 'epoch_2.pth', weights_only=False)
    assert weights['meta']['epoch'] == 2
    assert len(list(work.glob('*/run_info.json'))) == 2


@pytest.mark.parametrize('arguments, expected', [
    (['train.py', 'none.py'], 'none.py: no such config'),
    (['train.py', 'CONFIG', '--cfg-options', 'optim_wrapper.type=AmpOptimWrapper'],
     'needs a GPU'),
    (['train.py', 'CONFIG', '--resume', 'none.pth'], 'none.pth: no such checkpoint'),
    (['train.py', 'CONFIG', '--cfg-options', 'model.type=multissl_mm.None'],
     'model: there is no multissl_mm.None'),
    (['train.py', 'CONFIG', '--launcher', 'pytorch'], 'tools/dist_train.sh'),
    (['test.py', 'CONFIG', 'none.pth'], 'has no test_dataloader'),
    (['test.py', 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'CONFIG'],
     'test_dataloader.dataset.data_root: data/coco/ does not exist'),
])
def test_errors_for_people(arguments, expected, tmp_path, images, monkeypatch, capsys):
    config = str(write_config('mocov2', images, tmp_path))
    tool, *rest = [config if a == 'CONFIG' else a for a in arguments]
    monkeypatch.setattr(sys, 'argv', [tool, *rest])
    monkeypatch.setattr('multissl_mm.runtime.prepare.get_device', lambda: 'cpu')
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    assert stop.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert expected in next(line for line in lines if line.startswith('error: '))


def test_other_errors_keep_their_traceback(monkeypatch, capsys):
    def bug() -> None:
        raise KeyError('x')

    def ours() -> None:
        raise MultiSSLError('x')

    with pytest.raises(KeyError):
        run_tool(bug)
    with pytest.raises(SystemExit):
        run_tool(ours)
    # MMEngine's log is silent on all ranks but the first; errors are not.
    monkeypatch.setenv('RANK', '3')
    with pytest.raises(SystemExit):
        run_tool(ours)
    assert '[rank 3] error: x' in capsys.readouterr().err
    monkeypatch.setenv('MULTISSL_TRACEBACK', '1')
    with pytest.raises(MultiSSLError):
        run_tool(ours)


@pytest.mark.parametrize('backend', ['gloo', 'fake'])
def test_a_tool_leaves_its_process_group(monkeypatch, backend):
    """Threads of a group that is still there when the interpreter ends can abort the process."""
    distributed, ended = torch.distributed, []
    monkeypatch.setattr('multissl_mm.utils.cli._end', ended.append)

    def main() -> None:
        store = FakeStore() if backend == 'fake' else distributed.HashStore()
        distributed.init_process_group(backend, rank=0, world_size=1, store=store)

    run_tool(main)
    try:
        # To take a group of gloo apart can wait for ever.
        assert distributed.is_initialized() == (backend == 'gloo') and ended == [0]
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def test_a_rank_ends_without_taking_the_interpreter_apart(tmp_path):
    """What is registered for the end is done, and what was printed is not lost."""
    code = f"""
import atexit, torch
from multissl_mm.utils.cli import run_tool
atexit.register(print, 'said last')
class Late:
    def __del__(self): print('too late')
late = Late()
def main():
    torch.distributed.init_process_group('gloo', 'file://{tmp_path}/store', rank=0, world_size=1)
    print('done')
run_tool(main)
"""
    done = run(sys.executable, '-c', code)
    assert done.returncode == 0 and done.stdout.split('\n')[-3:] == ['done', 'said last', '']
