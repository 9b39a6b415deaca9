"""Two nodes of two ranks, as NNODES and NODE_RANK say it; here each is a launcher and a folder."""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
import tiny
from runs import last_checkpoint

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
ROOT = Path(tiny.__file__).parent.parent


def free_port() -> str:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


def on_two_nodes(tmp_path: Path, config: Path, *options: str) -> List[Tuple[int, str]]:
    """Status and output of the launcher of each node, whose work directory is node<i>."""
    port, launchers, logs = free_port(), [], []
    env: Dict[str, str] = {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': '',
                           'NNODES': '2', 'MASTER_ADDR': '127.0.0.1', 'PORT': port}
    env.pop('SLURM_JOB_ID', None)
    try:
        for node in range(2):
            logs.append(tmp_path / f'node{node}.log')
            with open(logs[-1], 'w') as out:
                launchers.append(subprocess.Popen(
                    ['bash', 'tools/dist_train.sh', str(config), '2', '--work-dir',
                     str(tmp_path / f'node{node}'), *options], cwd=ROOT,
                    env=dict(env, NODE_RANK=str(node)), stdout=out, stderr=out))
        return [(launcher.wait(400), log.read_text()) for launcher, log in zip(launchers, logs)]
    finally:
        for launcher in launchers:
            if launcher.poll() is None:
                launcher.terminate()  # it ends all that it started
                launcher.wait(90)


@pytest.fixture
def config(tmp_path, images):
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path / 'work',
                           train_dataloader__batch_size=2)
    cfg.train_cfg.stages = [1, 1]
    cfg.dump(tmp_path / 'config.py')
    return tmp_path / 'config.py'


def test_nodes_share_the_responses(tmp_path, config):
    """Four ranks take turns at recording, in a folder that both nodes see."""
    bank = tmp_path / 'shared'
    for status, text in on_two_nodes(tmp_path, config, '--cfg-options',
                                     f'model.responses.root={bank}'):
        assert status == 0, text[-3000:]
    info = json.loads((tmp_path / 'node0' / 'run_info.json').read_text())
    assert info['world_size'] == 4
    assert last_checkpoint(tmp_path / 'node0')['meta']['epoch'] == 2
    assert (bank / 'mocov2' / 'manifest.json').is_file()
    # 24 samples, 10 in a shard, 2 replicas
    assert len(list((bank / 'mocov2').rglob('*.npy'))) >= 6
    assert not list(tmp_path.glob('node*/**/*.npy'))


def test_nodes_that_share_no_folder_end_with_a_sentence(tmp_path, config):
    """Before anything is recorded; on every rank, and so on both nodes."""
    for status, text in on_two_nodes(tmp_path, config):
        assert status == 1, text[-3000:]
        assert 'is not the same folder for all processes' in text, text[-3000:]
        assert 'set model.responses.root to one that is (noticed by rank 2, 3)' in text
    assert not list(tmp_path.glob('node*/**/*.npy'))
