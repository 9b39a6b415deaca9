"""How long stages are stands in one place; hook, schedule and loop follow it (E7)."""
import itertools
import json
from types import SimpleNamespace

import pytest
import tiny
import torch
import yaml
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import CosineAnnealingLR, CosineRestartLR
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from multissl_mm.engine import ILStageHook, WarmRestartLR
from multissl_mm.errors import MultiSSLError
from multissl_mm.registry import LOOPS

# Nothing is trained here, so schedules move without their optimizer.
pytestmark = pytest.mark.filterwarnings('ignore:Detected call of `scheduler.step')
STEPS = 5  # of an epoch
#: Nothing is trained; downstream; MMPretrain's recipe, whose steps are at epochs of its own.
OTHERS = ('concat', 'mask-rcnn', 'supervised')
PRETRAINING = sorted(
    str(p.relative_to(tiny.CONFIGS)) for folder in ('.', 'demo', 'sound', 'sound/demo')
    for p in (tiny.CONFIGS / folder).glob('*.py')
    if not p.name.startswith(OTHERS if folder == '.' else OTHERS[:2]))
METAFILE = {model['Config']: model['Metadata'].get('Epochs') for model in yaml.safe_load(
    (tiny.CONFIGS / 'metafile.yml').read_text())['Models']}
DOWNSTREAM = [f'benchmarks/sound/{name}.py' for name in ('sp', 'vr', 'demo/s3r', 'demo/sp')]
numbers = itertools.count()


def optimizer(lr=.1):
    return OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr))


def built(cfg):
    """Loop, schedules and optimizer of a config, as MMEngine builds them, without model or data."""
    runner = SimpleNamespace(
        message_hub=MessageHub.get_instance(f'lengths_{next(numbers)}'),
        logger=SimpleNamespace(debug=str),
        train_dataloader=DataLoader(torch.zeros(STEPS, 1)), hooks=[], model=None)
    runner.train_loop = runner._train_loop = LOOPS.build(
        cfg.train_cfg, default_args=dict(runner=runner, dataloader=runner.train_dataloader))
    runner.max_epochs, runner.max_iters = runner.train_loop.max_epochs, runner.train_loop.max_iters
    runner.optim_wrapper = optimizer(cfg.optim_wrapper.optimizer.lr)
    runner.param_schedulers = Runner._build_param_scheduler(runner, cfg.param_scheduler,
                                                            runner.optim_wrapper)
    return runner


def rates(runner):
    """The learning rate of every step, epoch by epoch."""
    found = []
    for _ in range(runner.max_epochs):
        found.append([])
        for _ in range(STEPS):
            found[-1].append(runner.optim_wrapper.get_lr()['lr'][0])
            step(runner, by_epoch=False)
        step(runner, by_epoch=True)
    return found


def step(runner, by_epoch):
    for scheduler in runner.param_schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()


def assert_whole(cfg, stages):
    """The learning rate starts, is at its height and ends in every stage."""
    base, found = cfg.optim_wrapper.optimizer.lr, rates(built(cfg))
    assert len(found) == sum(stages)
    end = 0
    for epochs in filter(None, stages):
        stage = found[end:end + epochs]
        end += epochs
        assert .9 * base < max(map(max, stage)) <= base
        # A cosine's last epoch, or less where the rate changes within epochs.
        last = .5 * (1 + torch.tensor((epochs - 1) / epochs * torch.pi).cos().item()) * base
        assert stage[-1][-1] <= last * (1 + 1e-6)
        if len(set(stage[0])) > 1:
            assert stage[-1][-1] < .1 * base
            steps = cfg.param_scheduler[0].get('warmup', 0) * epochs * STEPS
            assert stage[0][0] < .5 * base or steps <= 1


@pytest.mark.parametrize('name', PRETRAINING + DOWNSTREAM)
def test_schedules_end_where_the_run_does(name):
    """E7, for every config, as it is and with other lengths."""
    cfg = Config.fromfile(tiny.CONFIGS / name)
    stages = list(cfg.train_cfg.get('stages', [cfg.train_cfg.get('max_epochs')]))
    assert_whole(cfg, stages)
    assert name in DOWNSTREAM or METAFILE[f'configs/{name}'] == sum(stages)
    if 'stages' in cfg.train_cfg:
        shorter = [2, 1, 3][-len(stages):]
        cfg.merge_from_dict({'train_cfg.stages': shorter})
        assert_whole(cfg, shorter)
    else:
        for epochs in (1, 3):
            cfg.merge_from_dict({'train_cfg.max_epochs': epochs})
            assert_whole(cfg, [epochs])


def test_a_child_config_changes_the_lengths_alone(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{tiny.CONFIGS}/sound/il_b_c.py'\n"
                     'train_cfg = dict(stages=[3, 4])\n')
    runner = built(Config.fromfile(child))
    assert runner.max_epochs == 7 and runner.max_iters == 7 * STEPS
    assert runner.param_schedulers[0].periods == [3 * STEPS, 4 * STEPS]


@pytest.mark.parametrize('name, before', [
    ('mocov2.py', dict(type='CosineAnnealingLR', T_max=200, by_epoch=True)),
    ('il_mocov2_densecl.py', dict(type='CosineRestartLR', periods=[200, 200],
                                  restart_weights=[1, 1], eta_min=0., by_epoch=True)),
    ('il_mocov2_densecl_from_stage1.py', dict(type='CosineRestartLR', periods=[200],
                                              restart_weights=[1], eta_min=0., by_epoch=True)),
    ('sound/demo/il_b_c_a.py', dict(type='multissl_mm.WarmRestartLR', periods=[16, 10, 12],
                                    by_epoch=True, convert_to_iter_based=True)),
    ('sound/a.py', dict(type='multissl_mm.WarmRestartLR', periods=[50], by_epoch=True,
                        convert_to_iter_based=True)),
])
def test_learning_rates_are_those_of_schedules_that_name_their_lengths(name, before):
    """The configs' schedules before lengths stood in one place, to the bit."""
    cfg = Config.fromfile(tiny.CONFIGS / name)
    now = rates(built(cfg))
    cfg.param_scheduler = [before]
    assert rates(built(cfg)) == now


@pytest.mark.parametrize('kind, options, periods', [
    (CosineRestartLR, dict(periods=[4, 3], restart_weights=[1, 1], eta_min=0.), [4, 3]),
    (CosineRestartLR, dict(periods=[4], restart_weights=[1], eta_min=0.), [0, 4]),  # from stage 1
    (CosineAnnealingLR, dict(T_max=4), [4]),
    (WarmRestartLR, dict(periods=[4, 3]), [4, 3]),
])
@pytest.mark.parametrize('epoch', [2, 4])
def test_states_of_older_schedules_resume(kind, options, periods, epoch):
    """As they are in checkpoints from when configs named the lengths of their schedules."""
    before, after = optimizer(), optimizer()
    old = kind(before, **options)
    for _ in range(epoch):
        old.step()
    new = WarmRestartLR(after, periods=periods, warmup=.3 if kind is WarmRestartLR else 0.)
    after.load_state_dict(before.state_dict())
    new.load_state_dict(old.state_dict())
    for _ in range(sum(periods) - epoch):
        assert after.get_lr() == before.get_lr()
        old.step(), new.step()


def test_a_resumed_run_has_the_lengths_of_its_config():
    """Not those of the checkpoint, which has two stages of another length."""
    old = WarmRestartLR(optimizer(), periods=[2, 2], warmup=0., end=4)
    new = WarmRestartLR(optimizer(), periods=[2, 3, 1], warmup=0., end=6)
    old.step()
    new.load_state_dict(old.state_dict())
    assert (new.periods, new.restart_weights, new.end, new.last_step) == ([2, 3, 1], [1] * 3, 6, 1)


def test_lengths_that_nothing_says_are_named():
    MessageHub.get_instance(f'lengths_{next(numbers)}')
    with pytest.raises(MultiSSLError, match='knows no length: set its periods'):
        WarmRestartLR(optimizer())
    assert WarmRestartLR(optimizer(), end=5).periods == [5]
    with pytest.raises(MultiSSLError, match=r'restart_weights .* are \[1, 0.5\], but there are 3'):
        WarmRestartLR(optimizer(), periods=[1, 1, 1], restart_weights=[1, .5])


def il(**changes):
    cfg = Config.fromfile(tiny.CONFIGS / 'il_mocov2_densecl.py')
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return cfg


@pytest.mark.parametrize('changes, message', [
    (dict(train_cfg__max_epochs=1), r'max_epochs is 1, but .* \[200, 200\], have 400 epochs'),
    (dict(train_cfg__stages=[]), r'train_cfg.stages is \[\]'),
    (dict(train_cfg__stages=4), 'train_cfg.stages is 4'),
    (dict(train_cfg__stages=[2, 0]), r'train_cfg.stages is \[2, 0\]'),
    (dict(train_cfg__stages=[-1, 2]), r'train_cfg.stages is \[-1, 2\]'),
    (dict(train_cfg__stages=[1.5, 2]), r'train_cfg.stages is \[1.5, 2\]'),
    (dict(param_scheduler__0__by_epoch=False), 'counts iterations, but the stages'),
    (dict(param_scheduler__0__begin=2), r'set its periods for epochs 2 to 400, .*\[200, 200\]'),
])
def test_wrong_lengths_are_named(changes, message):
    with pytest.raises(MultiSSLError, match=message):
        built(il(**changes))


def test_max_epochs_may_be_the_sum_of_the_stages():
    assert built(il(train_cfg__max_epochs=400)).max_epochs == 400


@pytest.mark.parametrize('kind', ['CosineRestartLR', 'multissl_mm.WarmRestartLR'])
def test_periods_that_are_not_the_stages_are_refused(kind):
    runner = built(il(param_scheduler=[
        dict(type=kind, periods=[100, 300], restart_weights=[1, 1], eta_min=0.)]))
    with pytest.raises(MultiSSLError, match=r'periods of .*\[100, 300\], are not the stages'):
        runner.train_loop.run()


# ---------------------------------------------------------------------- the hook

class Staged(torch.nn.Module):
    """Two tasks, one after the other."""
    task_names, stage = ['m', 'd'], torch.tensor(0)

    def set_stage(self, stage, warming_up=False):
        raise NotImplementedError

    start_task = finish_task = set_stage


def before_train(runner, hook, checkpoint=None):
    runner.model, runner.epoch = Staged(), 0
    runner._load_from = runner._resume = None
    runner.hooks = [hook, checkpoint] if checkpoint else [hook]
    hook.before_train(runner)
    return hook.stages


def test_the_hook_follows_the_loop_or_says_it_itself():
    assert before_train(built(il(train_cfg__stages=[2, 3])), ILStageHook()) == [2, 3]
    assert before_train(built(il(train_cfg__stages=[2, 3])), ILStageHook(epochs=[2, 3])) == [2, 3]
    plain = il(train_cfg=dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=5))
    assert before_train(built(plain), ILStageHook(epochs=[2, 3])) == [2, 3]


@pytest.mark.parametrize('train_cfg, hook, message', [
    (dict(type='multissl_mm.StagedTrainLoop', stages=[2, 3]), dict(epochs=[3, 2]),
     r'epochs is \[3, 2\], but train_cfg.stages is \[2, 3\]'),
    (dict(type='multissl_mm.StagedTrainLoop', stages=[2, 3, 1]), {},
     'train_cfg.stages has 3 stages, but model.tasks has 2: m, d'),
    (dict(type='EpochBasedTrainLoop', max_epochs=5), {}, 'TrainLoop, which has no stages'),
    (dict(type='EpochBasedTrainLoop', max_epochs=4), dict(epochs=[2, 3]), 'max_epochs, which is 4'),
    (dict(type='EpochBasedTrainLoop', max_epochs=2), dict(epochs=[2]), 'ILStageHook.epochs has 1'),
    (dict(type='IterBasedTrainLoop', max_iters=9), {}, 'counts epochs.* an IterBasedTrainLoop'),
    (dict(type='IterBasedTrainLoop', max_iters=9), dict(epochs=[2, 3]), 'counts epochs'),
])
def test_a_hook_that_disagrees_with_the_loop_is_refused(train_cfg, hook, message):
    runner = built(il(train_cfg=dict(train_cfg, _delete_=True)))
    with pytest.raises(MultiSSLError, match=message):
        before_train(runner, ILStageHook(**hook))


@pytest.mark.parametrize('checkpoint, refused', [
    (dict(interval=2), None), (dict(interval=1), None), (dict(interval=-1), None),
    (dict(interval=3), r'epochs \[2\],.*interval \(3\)'),
    (dict(interval=STEPS, by_epoch=False), None), (dict(interval=1, by_epoch=False), None),
    (dict(interval=2, by_epoch=False), None),  # 10 steps
    (dict(interval=4, by_epoch=False), r'steps \[10\],.*interval \(4\)'),
])
def test_checkpoints_by_epoch_and_by_step_keep_the_end_of_a_stage(checkpoint, refused):
    """E2: an interval in steps was read as one in epochs."""
    runner = built(il(train_cfg__stages=[2, 3]))
    hook = CheckpointHook(**checkpoint)
    if refused is None:
        before_train(runner, ILStageHook(), hook)
    else:
        with pytest.raises(MultiSSLError, match=refused):
            before_train(runner, ILStageHook(), hook)


def test_the_first_line_of_a_stage_has_its_own_total(images, tmp_path):
    """E1: a mean over steps of the stage before was logged as the total."""
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path)
    cfg.experiment_name = 'first_line'
    Runner.from_cfg(cfg).train()
    path, = tmp_path.glob('*/vis_data/scalars.json')
    lines = [line for line in map(json.loads, path.read_text().splitlines()) if 'loss' in line]
    first = next(line for line in lines if line['epoch'] == 3)
    parts = [value for key, value in first.items() if '.' in key and 'loss' in key]
    assert len(parts) > 2
    assert first['loss'] == pytest.approx(sum(parts), rel=1e-5)
