"""Two nodes of two ranks, as NNODES and NODE_RANK say it; here each is a launcher and a folder."""
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest
import tiny
from mmengine.config import Config
from runs import assert_same, last_checkpoint

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2000)]
ROOT = Path(tiny.__file__).parent.parent


def free_port() -> str:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


class Nodes:
    """Launchers of two nodes, which meet at a port of their own."""

    def __init__(self, tmp_path: Path, config: Path) -> None:
        self.folder, self.config = tmp_path, config
        self.launchers: List[subprocess.Popen] = []
        self.env: Dict[str, str] = {
            **os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': '', 'NNODES': '2',
            'MASTER_ADDR': '127.0.0.1', 'PORT': free_port()}
        self.env.pop('SLURM_JOB_ID', None)

    def start(self, node: int, work_dir: str, *options: str) -> subprocess.Popen:
        with open(self.log(node), 'a') as out:
            launcher = subprocess.Popen(
                ['bash', 'tools/dist_train.sh', str(self.config), '2', '--work-dir',
                 str(self.folder / work_dir), *options], cwd=ROOT,
                env=dict(self.env, NODE_RANK=str(node)), stdout=out, stderr=out)
        self.launchers.append(launcher)
        return launcher

    def log(self, node: int) -> Path:
        return self.folder / f'node{node}.log'


@contextmanager
def two_nodes(tmp_path: Path, config: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path, config)
    try:
        yield nodes
    finally:
        for launcher in nodes.launchers:
            if launcher.poll() is None:
                launcher.terminate()  # it ends all that it started
                launcher.wait(90)


def on_two_nodes(tmp_path: Path, config: Path, *options: str) -> List[Tuple[int, str]]:
    """Status and output of the launcher of each node, whose work directory is node<i>."""
    with two_nodes(tmp_path, config) as nodes:
        launchers = [nodes.start(node, f'node{node}', *options) for node in range(2)]
        return [(launcher.wait(400), nodes.log(node).read_text())
                for node, launcher in enumerate(launchers)]


def kill_node(launcher: subprocess.Popen) -> None:
    """As a power cut does it: all processes, none of which can say a word."""
    pids = [launcher.pid]
    for pid in pids:
        try:
            text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
        except OSError:  # it has ended meanwhile
            continue
        pids += map(int, text.split())
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    launcher.wait(60)


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


def test_the_place_to_meet_is_lost_and_found(tmp_path, config):
    """The first node is cut off and started again; the other one waits for it. The same weights."""
    cfg = Config.fromfile(config)
    cfg.train_cfg.stages = [2, 4]
    cfg.default_hooks.checkpoint.type = 'multissl_mm.AtomicCheckpointHook'
    cfg.dump(config)
    with two_nodes(tmp_path, config) as nodes:
        for launcher in [nodes.start(node, 'whole') for node in range(2)]:
            assert launcher.wait(600) == 0, nodes.log(0).read_text()[-3000:]
    with two_nodes(tmp_path, config) as nodes:
        first, other = (nodes.start(node, 'work', '--max-restarts', '3') for node in range(2))
        end = time.monotonic() + 600
        while not (tmp_path / 'work' / 'epoch_1.pth').exists():
            assert time.monotonic() < end and first.poll() is None
            time.sleep(.05)
        kill_node(first)
        again = nodes.start(0, 'work', '--max-restarts', '3', '--resume')
        assert again.wait(600) == 0, nodes.log(0).read_text()[-3000:]
        assert other.wait(300) == 0, nodes.log(1).read_text()[-3000:]
        assert 'started again (1 of 3)' in nodes.log(1).read_text()
    a, b = last_checkpoint(tmp_path / 'whole'), last_checkpoint(tmp_path / 'work')
    assert b['meta']['epoch'] == 6
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(a[key], b[key], key)
