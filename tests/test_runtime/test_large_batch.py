"""What --large-batch makes of a config, and that it can be built and stepped."""
from collections import OrderedDict

import pytest
import runs
import tiny
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from ranks import on_ranks
from torch import nn

from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import load_config
from multissl_mm.runtime.large_batch import use_large_batch


def shipped(name, batch_size=64):
    cfg = load_config(str(tiny.CONFIGS / name))
    cfg.train_dataloader.batch_size = batch_size
    return cfg


@pytest.mark.parametrize('ranks, momentum', [(64, .999**16), (256, .999**64)])
def test_of_64_and_256_gpus(scope, ranks, momentum):
    cfg = use_large_batch(shipped('il_mocov2_densecl.py'), ranks)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'mmpretrain.LARS'
    assert optimizer.lr == pytest.approx(.3 * ranks / 4) and optimizer.weight_decay == 1e-4
    assert cfg.model.momentum == pytest.approx(momentum)
    assert [task.queue_len for task in cfg.model.tasks] == [max(65536, 256 * ranks)] * 2
    [schedule] = cfg.param_scheduler
    assert schedule.warmup == 10 / 200 and schedule.convert_to_iter_based
    # What a run has written is not scaled again.
    again = use_large_batch(Config(cfg.to_dict()), ranks)
    assert again.to_dict() == cfg.to_dict()


def test_a_picture_moves_the_momentum_encoder_as_far(scope):
    assert use_large_batch(shipped('mocov2.py'), 64).model.momentum == pytest.approx(.984, abs=5e-4)


def test_all_that_follows_moves_as_far(scope):
    """MMPretrain counts 1 - m; a teacher may follow, too."""
    cfg = shipped('mtl_byol_mocov2.py')
    assert cfg.model.tasks[0].algorithm.base_momentum == pytest.approx(1 - cfg.model.momentum[0])
    cfg.model.responses = dict(source='teacher', momentum=.99)
    model = use_large_batch(cfg, 64).model
    assert model.momentum == pytest.approx((.99**16, 1.))
    assert model.tasks[0].algorithm.base_momentum == pytest.approx(1 - .99**16)
    assert model.responses.momentum == pytest.approx(.99**16)


@pytest.mark.parametrize('kind, momentum, expected', [
    ('MoCo', .001, 1 - .999**128),
    ('MoCo', None, 1 - .999**128),
    ('mmpretrain.DenseCL', .01, 1 - .99**128),
    ('mmselfsup.MoCo', .99, .99**128),
    ('mmselfsup.DenseCL', None, .999**128),
])
def test_of_algorithms_that_are_not_ours(scope, kind, momentum, expected):
    """MMPretrain's count the share of what is new: its key encoder stood still."""
    cfg = load_config('mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py')
    cfg.model.type = kind
    cfg.model.momentum = momentum
    if momentum is None:
        cfg.model.pop('momentum')
    model = use_large_batch(cfg, 1024).model
    assert model.momentum == pytest.approx(expected, rel=1e-9) and model.queue_len == 131072


def test_of_algorithms_in_tasks(scope):
    cfg = shipped('mtl_byol_mocov2.py')
    cfg.model.tasks[0].algorithm.update(type='mmselfsup.BYOL', base_momentum=.99)
    assert use_large_batch(cfg, 64).model.tasks[0].algorithm.base_momentum == pytest.approx(.99**16)


def test_a_first_stage_that_is_loaded_has_no_warm_up(scope):
    cfg = shipped('il_mocov2_densecl_from_stage1.py')
    assert cfg.train_cfg.stages == [0, 200]
    [schedule] = use_large_batch(cfg, 64).param_scheduler
    assert schedule.warmup == 10 / 200


def test_short_queues_hold_four_batches(scope):
    cfg = shipped('mocov2.py')
    cfg.model.tasks[0].queue_len = 1024
    assert use_large_batch(cfg, 16).model.tasks[0].queue_len == 4096


def test_a_moderate_batch_keeps_its_optimizer(scope):
    cfg = shipped('mocov2.py')
    cfg.optim_wrapper.accumulative_counts = 2
    use_large_batch(cfg, 4)  # 512 of 256
    assert cfg.optim_wrapper.optimizer.type == 'SGD'
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(.06)
    before = shipped('mocov2.py')
    assert use_large_batch(Config(before.to_dict()), 4).to_dict() == before.to_dict()


def test_a_model_that_nothing_follows(scope):
    cfg = use_large_batch(shipped('supervised.py'), 64)
    assert 'momentum' not in cfg.model and cfg.optim_wrapper.optimizer.type == 'mmpretrain.LARS'


def test_of_adam(scope):
    cfg = shipped('mocov2.py')
    cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=1e-3)
    use_large_batch(cfg, 64)
    assert cfg.optim_wrapper.optimizer == dict(type='mmpretrain.Lamb', lr=pytest.approx(4e-3))
    assert groups_of(cfg)['ear.1.bias']['weight_decay'] == 0  # it says none, which is LAMB's own


@pytest.mark.parametrize('epochs, options, warm', [
    (200, {}, 10), (20, dict(T_max=20), 6)])
def test_it_trains(scope, epochs, options, warm):
    """To the end of the cosine, also of one that says how long it was before it warmed up."""
    cfg = shipped('mocov2.py')
    cfg.train_cfg.max_epochs = epochs
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=epochs,
                                **options)]
    use_large_batch(cfg, 64)
    model = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4)))
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = wrapper.optimizer.param_groups
    assert [group.get('lars_exclude', False) for group in groups] == [False, True, True, True]
    rules = [PARAM_SCHEDULERS.get(f'mmengine.{rule.pop("type")}').build_iter_from_epoch(
        optimizer=wrapper, epoch_length=5, **rule)
        for rule in map(dict, cfg.param_scheduler) if rule.pop('convert_to_iter_based')]
    rates = []
    for _ in range(5 * epochs):
        rates.append(groups[0]['lr'])
        wrapper.update_params(model(torch.ones(2, 3, 1, 1)).mean())
        for rule in rules:
            rule.step()
    assert rates[0] == pytest.approx(4.8e-3) and max(rates) == pytest.approx(4.8, rel=1e-3)
    assert rates.index(max(rates)) in range(5 * warm - 2, 5 * warm + 2)
    assert rates[-1] < 1e-3 * max(rates)


class Ear(nn.Module):
    """Names of this package's layers."""

    def __init__(self):
        super().__init__()
        self.ear = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4))
        self.norms = nn.ModuleList([nn.LayerNorm(4)])
        self.log_vars = nn.Parameter(torch.zeros(2))
        self.head = nn.Linear(4, 2)


def groups_of(cfg):
    model = Ear()
    found = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    return {name: next(group for group in found if any(p is param for p in group['params']))
            for name, param in model.named_parameters()}


def test_norms_are_known_whatever_their_names(scope):
    """Those of sound models and of CaSSLe's predictors had weight decay and a rate of their own."""
    found = groups_of(use_large_batch(shipped('mocov2.py'), 64))
    for name, group in found.items():
        plain = name not in ('ear.0.weight', 'head.weight')
        assert group.get('lars_exclude', False) == plain, name
        assert group['weight_decay'] == (0 if plain else 1e-4), name


def test_what_a_config_says_of_parameters_comes_first(scope):
    cfg = shipped('mocov2.py')
    cfg.optim_wrapper.paramwise_cfg = dict(bias_decay_mult=.5, custom_keys={
        'log_vars': dict(lars_exclude=False, decay_mult=1.), 'ear': dict(lr_mult=.1)})
    found = groups_of(use_large_batch(cfg, 64))
    assert not found['log_vars']['lars_exclude'] and found['log_vars']['weight_decay'] == 1e-4
    assert found['ear.1.weight']['lr'] == pytest.approx(.48)
    assert found['head.bias']['weight_decay'] == 5e-5 and found['head.bias']['lars_exclude']
    assert found['norms.0.weight']['weight_decay'] == 0
    cfg = shipped('mocov2.py')
    cfg.optim_wrapper.constructor = 'DefaultOptimWrapperConstructor'
    assert not groups_of(use_large_batch(cfg, 64))['norms.0.weight'].get('lars_exclude')


def test_four_ranks_learn_by_it(images, tmp_path):
    """8 pictures a step where the config is for 2: LARS, and all ranks come to the same."""
    cfg = tiny.tiny_config('mocov2', images, tmp_path / 'four', train_dataloader__batch_size=2)
    cfg.auto_scale_lr = dict(base_batch_size=2)
    cfg.model.tasks[0].queue_len = 16
    rate, momentum = cfg.optim_wrapper.optimizer.lr, cfg.model.get('momentum', .999)
    ranks = on_ranks(tmp_path / 'ranks', runs.dumped, cfg, world=4, large_batch=True)
    written = Config.fromstring(
        runs.last_checkpoint(tmp_path / 'four')['meta']['cfg'], '.py')
    assert written.optim_wrapper.optimizer.type == 'mmpretrain.LARS'
    assert written.optim_wrapper.optimizer.lr == pytest.approx(40 * rate)
    assert written.model.momentum == pytest.approx(momentum ** 4)
    assert written.model.tasks[0].queue_len == 32  # 4 batches
    for other in ranks[1:]:
        for key, value in ranks[0]['state'].items():
            assert 'running_' in key or torch.equal(value, other['state'][key]), key


@pytest.mark.parametrize('change, words', [
    (dict(auto_scale_lr=None), 'no auto_scale_lr.base_batch_size'),
    (dict(train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=9)),
     'train_cfg has no max_epochs'),
    (dict(optim_wrapper=dict(optimizer=dict(type='Lion', lr=1.))), 'optimizer is Lion'),
    (dict(model=dict(_delete_=True, type='SimSiam', momentum=.9)), 'model.momentum is of SimSiam'),
    (dict(model=dict(tasks=[dict(algorithm=dict(type='SimSiam', momentum=.9))])),
     'model.tasks.0.algorithm.momentum is of SimSiam')])
def test_what_it_cannot_scale(scope, change, words):
    cfg = shipped('mocov2.py')
    cfg.merge_from_dict(change)
    with pytest.raises(MultiSSLError, match=words):
        use_large_batch(cfg, 64)
