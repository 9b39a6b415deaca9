"""An incremental run on two gloo ranks, started as a user starts it."""
import math
import os
import subprocess
import sys
from pathlib import Path

import tiny
import torch

ROOT = Path(__file__).parents[2]


def launch(cfg, path, processes, *arguments):
    cfg.custom_imports = dict(imports=['multissl_mm', 'dump_hook'])
    cfg.dump(path)
    env = dict(os.environ, PYTHON=sys.executable, PYTHONPATH=f'{ROOT}:{ROOT / "tests"}',
               OMP_NUM_THREADS='1')
    command = [ROOT / 'tools/dist_train.sh', path, str(processes), *arguments] if processes > 1 \
        else [sys.executable, ROOT / 'tools/train.py', path, *arguments]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    return run.stdout + run.stderr


def config(images, tmp_path, name, batch_size):
    return tiny.tiny_config(
        'il_mocov2_densecl', images, tmp_path / name, train_dataloader__batch_size=batch_size,
        custom_hooks=[dict(type='multissl_mm.DumpHook', out=str(tmp_path / name))])


def dumps(tmp_path, name, ranks):
    return [torch.load(tmp_path / f'{name}.rank{r}', weights_only=False) for r in range(ranks)]


def test_two_ranks_agree_see_the_views_of_one_and_resume(images, tmp_path):
    launch(config(images, tmp_path, 'one', 8), tmp_path / 'one.py', 1)
    launch(config(images, tmp_path, 'two', 4), tmp_path / 'two.py', 2)
    one, = dumps(tmp_path, 'one', 1)
    a, b = dumps(tmp_path, 'two', 2)

    assert sorted(one['views']) == sorted(a['views'] + b['views'])
    for key, value in a['state'].items():
        # Batch norms keep the statistics of their own rank's batches.
        if 'running_' not in key and key != 'responses.recorded':
            assert torch.equal(value, b['state'][key]), key
    assert torch.equal(a['state']['responses.recorded'], b['state']['responses.recorded'])
    assert int(a['state']['stage']) == 1
    for rank in (a, b):
        assert len(rank['losses']) == 12
        assert all(math.isfinite(v) for losses in rank['losses'] for v in losses.values())
        assert 'mocov2.loss_distill' in rank['losses'][-1]

    # Resumed from the end of stage 1, it crosses the boundary again and ends with the same.
    cfg = config(images, tmp_path, 'again', 4)
    cfg.model.responses.root = str(tmp_path / 'two' / 'responses')
    out = launch(cfg, tmp_path / 'again.py', 2, '--resume', str(tmp_path / 'two/epoch_2.pth'))
    c, d = dumps(tmp_path, 'again', 2)
    assert len(c['losses']) == 6, out[-2000:]
    for key, value in a['state'].items():
        if 'running_' not in key:
            assert torch.equal(value, c['state'][key]), key
