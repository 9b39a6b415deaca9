"""The shell tools start what they say, with the arguments that they were given."""
import os
import re
import subprocess
from pathlib import Path

import pytest
import tiny
from mmengine.config import Config

ROOT = Path(tiny.__file__).parent.parent


def start(tmp_path: Path, *command: str, **env: str) -> str:
    """Runs a script with a python and an srun that only print their arguments."""
    for name in ('python', 'srun'):
        fake = tmp_path / name
        fake.write_text(f'#!/bin/sh\nprintf "{name}"; printf " [%s]" "$@"\n')
        fake.chmod(0o755)
    drop = ('PYTHON', 'PORT', 'MASTER_PORT', 'MASTER_ADDR', 'NNODES', 'NODE_RANK',
            'SLURM_JOB_ID', 'CPUS_PER_TASK')
    env = {**{k: v for k, v in os.environ.items() if k not in drop},
           'PATH': f'{tmp_path}:{os.environ["PATH"]}', **env}
    done = subprocess.run(['bash', *command], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_node(tmp_path):
    output = start(tmp_path, 'tools/dist_train.sh', 'c.py', '4', '--cfg-options', 'a=[1, 2]')
    assert output.startswith('python [-m] [torch.distributed.run] [--standalone]')
    assert '[--nproc_per_node] [4]' in output
    assert output.endswith('train.py] [c.py] [--cfg-options] [a=[1, 2]] [--launcher] [pytorch]')


def test_several_nodes(tmp_path):
    output = start(tmp_path, 'tools/dist_test.sh', 'c.py', 'x.pth', '8', NNODES='2', NODE_RANK='1',
                 MASTER_ADDR='node0', PORT='1234')
    for pair in ('[--nnodes] [2]', '[--node_rank] [1]', '[--master_addr] [node0]',
                 '[--master_port] [1234]', 'test.py] [c.py] [x.pth] [--launcher] [pytorch]'):
        assert pair in output


def test_slurm(tmp_path):
    output = start(tmp_path, 'tools/slurm_train.sh', 'part', 'job', 'c.py', 'work', GPUS='4',
                 SRUN_ARGS='--quotatype auto')
    for piece in ('[--signal] [USR1@120]',
                  'srun [-p] [part] [--job-name] [job] [--ntasks] [4]', '[--gres] [gpu:4]',
                  '[--quotatype] [auto] [python]',
                  'train.py] [c.py] [--work-dir] [work] [--launcher] [slurm]'):
        assert piece in output
    output = start(tmp_path, 'tools/slurm_train.sh', 'part', 'job', 'c.py', 'work',
                   SLURM_JOB_ID='7')
    assert '--signal' not in output  # of a step Slurm takes none: the batch script says it
    output = start(tmp_path, 'tools/slurm_test.sh', 'part', 'job', 'c.py', 'x.pth',
                 GPUS_PER_NODE='0')
    assert '--gres' not in output and 'test.py] [c.py] [x.pth] [--launcher] [slurm]' in output


def test_restarts_are_torchruns(tmp_path):
    """F14: the option went to train.py, which knows none."""
    for given in (['--max-restarts', '3'], ['--max-restarts=3']):
        output = start(tmp_path, 'tools/dist_train.sh', 'c.py', '4', *given, '--resume')
        assert '[--max_restarts] [3] [--nproc_per_node] [4]' in output
        assert output.endswith('train.py] [c.py] [--resume] [--launcher] [pytorch]')


@pytest.mark.parametrize('nodes, starts', [('1', 1), ('2', 3)])
def test_the_place_to_meet_is_lost(tmp_path, nodes, starts):
    """Then torchrun ends, whatever its own restarts: on several machines it is started again."""
    (tmp_path / 'python').write_text('#!/bin/sh\necho start $MULTISSL_RESTART_COUNT\nexit 1\n')
    (tmp_path / 'python').chmod(0o755)
    env = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'NNODES': nodes}
    env.pop('PYTHON', None)
    done = subprocess.run(['bash', 'tools/dist_train.sh', 'c.py', '2', '--max-restarts', '2'],
                          cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [f'start {i}' for i in range(starts)]


@pytest.mark.parametrize('script', [['dist_train.sh', 'c.py', '2'],
                                    ['slurm_train.sh', 'part', 'job', 'c.py', 'work']])
@pytest.mark.parametrize('status', [0, 3, 75])
def test_the_launchers_status_is_that_of_the_run(tmp_path, script, status):
    """A batch job that says "try again later" is queued again, where that is wished."""
    for name, text in (('python', f'exit {status}'), ('srun', f'exit {status}'),
                       ('scontrol', 'echo scontrol "$@"')):
        (tmp_path / name).write_text(f'#!/bin/sh\n{text}\n')
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'REQUEUE': '1',
           'SLURM_JOB_ID': '12'}
    env.pop('PYTHON', None)
    done = subprocess.run(['bash', f'tools/{script[0]}', *script[1:]], cwd=ROOT, env=env,
                          capture_output=True, text=True)
    assert done.returncode == status
    requeued = script[0].startswith('slurm') and status == 75
    assert done.stdout == 'scontrol requeue 12\n' * requeued


def test_slurm_gives_the_loaders_workers_a_cpu_each(tmp_path):
    """E8: 5 CPUs were asked for, for 8 workers."""
    output = start(tmp_path, 'tools/slurm_train.sh', 'part', 'job', 'c.py', 'work')
    cpus = int(re.search(r'\[--cpus-per-task\] \[(\d+)\]', output).group(1))
    configs = map(Config.fromfile, sorted((ROOT / 'configs').glob('*.py')))
    workers = [cfg.train_dataloader.num_workers for cfg in configs if 'train_dataloader' in cfg]
    assert max(workers) < cpus
    output = start(tmp_path, 'tools/slurm_train.sh', 'part', 'job', 'c.py', 'work',
                   CPUS_PER_TASK='3')
    assert '[--cpus-per-task] [3]' in output


def test_jobs_on_one_machine_do_not_meet(tmp_path):
    """E8: without a port of their own, two jobs of several machines met at 29500."""
    def port(**env):
        output = start(tmp_path, 'tools/dist_train.sh', 'c.py', '8', NNODES='2', **env)
        return re.search(r'\[--master_port\] \[(\d+)\]', output).group(1)

    assert port() == '29500' and port(PORT='1234', SLURM_JOB_ID='7') == '1234'
    assert port(SLURM_JOB_ID='70001') == '20001' != port(SLURM_JOB_ID='70002')


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_usage(script):
    done = subprocess.run(['bash', f'tools/{script}.sh'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and f'tools/{script}.sh' in done.stderr
