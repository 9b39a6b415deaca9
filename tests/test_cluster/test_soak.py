"""Two thousand steps: nothing grows.

`make test-faults`; the pictures are drawn into the folder ARTIFACTS, if that is set.
"""
import os
import time
from pathlib import Path

import pytest
import tiny

from multissl_mm import runtime

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def draw(rows, every, path):
    """Memory, descriptors and the time of a step over the steps, as a picture.

    The time is that of the process on its core: other work on the machine is no matter.
    """
    from matplotlib.figure import Figure
    times, memory, descriptors = zip(*rows)
    steps = [every * (i + 1) for i in range(len(rows))]
    pace = [1000 * (b - a) / every for a, b in zip(times, times[1:])]
    figure = Figure(figsize=(9, 3), layout='constrained')
    for axes, x, y, label in zip(figure.subplots(1, 3), (steps, steps, steps[1:]),
                                 (memory, descriptors, pace),
                                 ('memory (MB)', 'descriptors', 'CPU time of a step (ms)')):
        axes.plot(x, y)
        axes.set(xlabel='step', ylabel=label, ylim=(0, 1.2 * max(y)))
    figure.savefig(path)


@pytest.mark.parametrize('name', ['mtl_mocov2_densecl', 'il_mocov2_densecl'])
def test_soak(images, tmp_path, name):
    """With two workers: memory and descriptors stay; the time of a step is drawn, too."""
    from mmengine.hooks import Hook

    class Meter(Hook):
        rows = []

        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter % 100 == 99:
                pages = int(Path('/proc/self/statm').read_text().split()[1])
                self.rows.append((time.process_time(), pages * 4096 / 1e6,
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
