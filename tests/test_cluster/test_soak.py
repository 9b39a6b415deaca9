"""Two thousand steps: nothing grows, and nothing slows down.

`make test-faults`; the pictures are drawn into the folder ARTIFACTS, if that is set.
"""
import os
import time
from pathlib import Path
from statistics import median

import pytest
import tiny
import torch

from multissl_mm import runtime

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
EVERY = 100


def cpu_time(work):
    """Of this process, so that only what shares a core's caches and units with it matters."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def reference():
    """Work that is always the same: how fast the machine is just now."""
    weights = torch.ones(16, 16, 3, 3)
    pictures = torch.ones(8, 16, 32, 32)
    for _ in range(100):
        torch.nn.functional.conv2d(pictures, weights)


def draw(steps, curves, path):
    """Each curve over the steps, as a picture."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(3 * len(curves), 3), layout='constrained')
    for axes, (label, values) in zip(figure.subplots(1, len(curves)), curves.items()):
        axes.plot(steps, values)
        axes.set(xlabel='step', ylabel=label, ylim=(0, 1.2 * max(values)))
    figure.savefig(path)


@pytest.mark.parametrize('name', ['mtl_mocov2_densecl', 'il_mocov2_densecl'])
def test_soak(images, tmp_path, name):
    """With two workers: memory, descriptors and the time of a step stay as they are."""
    from mmengine.hooks import Hook

    class Meter(Hook):

        def __init__(self):
            self.rows, self.before = [], 0.

        def before_train_epoch(self, runner):
            if not self.before:
                self.before = time.process_time()

        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter % EVERY == EVERY - 1:
                pages = int(Path('/proc/self/statm').read_text().split()[1])
                self.rows.append((pages * 4096 / 1e6, len(os.listdir('/proc/self/fd')),
                                  1000 * (time.process_time() - self.before) / EVERY,
                                  1000 * cpu_time(reference)))
                self.before = time.process_time()

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
    memory, descriptors, pace, machine = map(list, zip(*meter.rows))
    assert len(memory) == 21
    print(f'{name}: MB {[round(mb) for mb in memory]}, descriptors {descriptors}, '
          f'ms a step {[round(ms, 1) for ms in pace]}, machine {[round(ms) for ms in machine]}')
    draw([EVERY * (i + 1) for i in range(21)],
         {'memory (MB)': memory, 'descriptors': descriptors, 'CPU time of a step (ms)': pace,
          'the same work, each time (ms)': machine},
         Path(os.environ.get('ARTIFACTS', tmp_path)) / f'soak_{name}.png')
    first, last = slice(10, 15), slice(-5, None)  # of an incremental run: within stage 2
    assert max(memory[10:]) < 1.05 * memory[10]
    # A look may fall into a checkpoint that is being written, or into the loader's queues.
    assert median(descriptors[last]) <= median(descriptors[first]) + 1
    relative = [step / same for step, same in zip(pace, machine)]
    assert median(relative[last]) < 1.3 * median(relative[first])
    assert not {n for n in set(os.listdir('/dev/shm')) - shared if n.startswith('torch_')}
