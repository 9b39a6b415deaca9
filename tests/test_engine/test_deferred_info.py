"""What is noted of a run's steps, and when the device is asked for it."""
from types import SimpleNamespace

import pytest
import torch
import toy
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmengine.utils import digit_version
from no_waits import NoWaits
from torch._subclasses import FakeTensorMode

from multissl_mm.engine.hooks import DeferredInfoHook


def run(work_dir, hook, **logger):
    cfg = toy.config(work_dir, epochs=3, checkpoint=dict(interval=2))
    cfg.train_dataloader.batch_size = 2  # four steps in an epoch
    cfg.default_hooks.update(runtime_info=dict(type=hook),
                             logger=dict(type='LoggerHook', **logger))
    cfg.optim_wrapper.clip_grad = dict(max_norm=.1)
    cfg.experiment_name = str(work_dir)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_notes_what_mmengine_notes(tmp_path):
    for i, logger in enumerate((dict(interval=3), dict(interval=100, ignore_last=False))):
        runners = [run(tmp_path / f'{hook}{i}', hook, **logger)
                   for hook in ('mmengine.RuntimeInfoHook', 'multissl_mm.DeferredInfoHook')]
        noted, expected = ({key: [column.tolist() for column in buffer.data]
                            for key, buffer in runner.message_hub.log_scalars.items()
                            if 'time' not in key} for runner in runners)
        assert noted == expected and set(noted) >= {'train/loss', 'train/grad_norm'}
        assert all(len(column) == 12 for column in noted['train/grad_norm'])
        assert list(noted) == list(expected)  # the order in the log
        checkpoints = [torch.load(f'{runner.work_dir}/epoch_2.pth', weights_only=False)
                       for runner in runners]
        losses = [c['message_hub']['log_scalars']['train/loss'].data[0].tolist()
                  for c in checkpoints]
        assert losses[0] == losses[1] and len(losses[0]) == 8


@pytest.mark.skipif(digit_version(torch.__version__) < digit_version('2.6'),
                    reason='its fake tensors cannot be listed')
def test_the_device_is_asked_when_somebody_looks():
    logger = LoggerHook(interval=3)
    runner = SimpleNamespace(hooks=[logger], train_dataloader=range(10),
                             message_hub=MessageHub.get_instance('asked'))
    for hook, expected in ((RuntimeInfoHook(), [True] * 3),
                           (DeferredInfoHook(), [False, False, True])):
        with FakeTensorMode(allow_non_fake_inputs=True):
            waits = []
            for step in range(3):
                with NoWaits() as watch:
                    loss = torch.zeros((), device='cuda')
                    hook.after_train_iter(runner, step, None, dict(loss=loss, top1=loss.long()))
                waits.append(bool(watch.waits))
        assert waits == expected


def test_values_of_several_devices_are_noted(monkeypatch):
    """A metric that a task has counted on the host beside losses on a GPU."""
    def stack(values):  # as GPUs do it; fake tensors take any
        assert len({v.device for v in values}) == 1
        return SimpleNamespace(tolist=lambda: [0.] * len(values))

    hook = DeferredInfoHook()
    runner = SimpleNamespace(message_hub=MessageHub.get_instance('devices'))
    monkeypatch.setattr(torch, 'stack', stack)
    with FakeTensorMode():
        hook.steps.append(dict(seen=torch.zeros(()), loss=torch.zeros((), device='cuda'), lr=.1))
        hook.note(runner)
    assert set(runner.message_hub.log_scalars) == {'train/seen', 'train/loss', 'train/lr'}
