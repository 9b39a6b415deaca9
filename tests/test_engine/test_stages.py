"""Warm-up, batch sizes and learning rates of stages; mixed precision and its guard."""
import pytest
import tiny
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from runs import train_here

from multissl_mm.errors import MultiSSLError
from multissl_mm.models.contrast.queue import NegativeQueue
from multissl_mm.registry import MODELS


class Watch(Hook):
    """What every step saw."""

    def __init__(self):
        self.sizes, self.warming, self.lr, self.losses = [], [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.sizes.append(len(data_batch['data_samples']))
        self.warming.append(getattr(runner.model, 'warming_up', False))
        self.lr.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.losses.append({k: v.item() for k, v in outputs.items() if 'loss' in k})


def train(name, images, path, prepare=lambda runner: None, **options):
    watch = Watch()
    return watch, train_here(tiny.tiny_config(name, images, path, **options), watch,
                             prepare=prepare)


def stage_hook(**kwargs):
    return dict(default_hooks__stage=dict(type='multissl_mm.ILStageHook', **kwargs))


def test_stages_have_their_own_batch_size_learning_rate_and_warm_up(images, tmp_path):
    watch, runner = train(
        'il_mocov2_densecl', images, tmp_path / 'run', train_dataloader__num_workers=1,
        train_dataloader__persistent_workers=True,
        param_scheduler=[dict(type='multissl_mm.WarmRestartLR', warmup=0.,
                              restart_weights=[1, .5])],
        **stage_hook(warmup_epochs=1, batch_sizes=[8, 6]))
    assert watch.sizes == [8] * 6 + [6] * 8  # 24 pictures: 3 and 4 steps an epoch
    assert runner.max_iters == runner.iter == 14
    assert watch.warming == [False] * 6 + [True] * 4 + [False] * 4
    assert [watch.lr[0], watch.lr[6]] == [.03, .015]
    assert ['mocov2.loss_distill' in losses for losses in watch.losses] == [False] * 10 + [True] * 4


@pytest.mark.parametrize('options, said', [
    (dict(warmup_epochs=2), 'warmup_epochs is 2, but a stage has only 2'),
    (dict(batch_sizes=[8]), 'one positive number for each of the 2 stages'),
    (dict(batch_sizes=[8, 32]), '24 samples are less than a batch of 32.*batch_sizes.1'),
    (dict(batch_sizes=[8, 1]), 'ILStageHook.batch_sizes.1 is 1, but the model'),
    (dict(batch_sizes=[23, 8], drop_last=False), 'of 24 samples in batches of 23 the last has 1'),
    (dict(batch_sizes=[8, 6], convert=True), 'a schedule in param_scheduler counts iterations'),
    (dict(warmup_epochs=1, name='progressive_mocov2_densecl'),
     'is for Incremental.*a ProgressiveNet does not'),
])
def test_wrong_stages_are_named(images, tmp_path, options, said):
    options, more = dict(options), {}
    if options.pop('convert', False):
        more['param_scheduler'] = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True,
                                        convert_to_iter_based=True)]
    if 'drop_last' in options:
        more['train_dataloader__drop_last'] = options.pop('drop_last')
    name = options.pop('name', 'il_mocov2_densecl')
    with pytest.raises(MultiSSLError, match=said):
        train(name, images, tmp_path / said[:9], **more, **stage_hook(**options))


def test_accumulated_gradients_move_the_momentum_once_per_step(images, tmp_path):
    moves = []

    def prepare(runner):
        model = runner.model
        update = model.momentum_backbone.update

        def spy(*args):
            moves.append(runner.iter)
            update(*args)

        model.momentum_backbone.update = spy

    train('mocov2', images, tmp_path / 'accumulation', prepare,
          optim_wrapper__accumulative_counts=3)
    assert moves == [0, 3]


@pytest.mark.parametrize('optimizer', [
    dict(type='SGD', lr=.1, fused=True), dict(type='AdamW', lr=.01, fused=True),
    dict(type='SGD', lr=.1, foreach=False),
])
def test_the_momentum_encoder_follows_every_optimizer(images, tmp_path, optimizer):
    moves = []

    def prepare(runner):
        update = runner.model.momentum_backbone.update

        def spy(*args):
            moves.append(runner.iter)
            update(*args)

        runner.model.momentum_backbone.update = spy

    train('mocov2', images, tmp_path / 'run', prepare, optim_wrapper__optimizer=optimizer)
    assert moves == list(range(6))


def test_gradients_of_a_finished_stage_are_not_applied_in_the_next(images, tmp_path):
    """With 6 steps a stage and 4 batches a step, two are left over."""
    frozen = {}

    class Keep(Hook):
        priority = 'LOWEST'

        def before_train_epoch(self, runner):
            if runner.epoch == 2:
                frozen.update({k: v.clone() for k, v in runner.model.state_dict().items()
                               if 'backbone.columns.0' in k and not k.startswith('momentum')})

    _, runner = train('progressive_mocov2_densecl', images, tmp_path / 'run',
                      lambda runner: runner.register_hook(Keep()),
                      optim_wrapper__accumulative_counts=4)
    assert frozen
    for key, value in frozen.items():
        assert torch.equal(value, runner.model.state_dict()[key]), key


def test_a_loaded_model_is_in_the_stage_of_its_checkpoint(images, tmp_path):
    _, runner = train('progressive_mocov2_densecl', images, tmp_path / 'run')
    for epoch, stage in ((2, 0), (4, 1)):
        cfg = tiny.tiny_config('progressive_mocov2_densecl', images, tmp_path / 'other')
        cfg.experiment_name = f'loaded_{epoch}'
        other = Runner.from_cfg(cfg)
        other.load_checkpoint(str(tmp_path / 'run' / f'epoch_{epoch}.pth'))
        assert (other.model._stage, other.model.backbone.column) == (stage, stage)
    x = torch.randn(2, 3, 32, 32)
    other.model.eval(), runner.model.eval()
    assert torch.equal(other.model(x)[-1], runner.model(x)[-1])


def test_experts_hold_their_checkpoints(images, tmp_path):
    """Through a run, as MMEngine initialises it."""
    experts, states = [], []
    for seed, name in enumerate(('mocov2', 'densecl')):
        torch.manual_seed(seed)
        backbone = MODELS.build(dict(tiny.backbone(), type='mmpretrain.ResNet'))
        states.append(backbone.state_dict())
        path = tmp_path / f'{name}.pth'
        torch.save(dict(state_dict={f'backbone.{k}': v for k, v in states[-1].items()}), path)
        init = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
        experts.append(dict(name=name, backbone=dict(tiny.backbone(), init_cfg=init)))
    _, runner = train('euclidean-dist_mocov2_densecl', images, tmp_path / 'run',
                      model__experts=experts)
    for encoder, state in zip(runner.model.experts.encoders, states):
        for key, value in encoder.state_dict().items():
            assert torch.equal(value, state[key]), key


AMP = dict(optim_wrapper__type='multissl_mm.AmpOptimWrapper')


def test_bf16_is_close_to_full_precision(images, tmp_path):
    full, _ = train('mtl_mocov2_densecl', images, tmp_path / 'full')
    half, runner = train('mtl_mocov2_densecl', images, tmp_path / 'half', **AMP)
    assert runner.optim_wrapper.cast_dtype is torch.bfloat16
    # Of the same weights first; with every step the two runs part further.
    for allowed, a, b in zip((.01, .1, .15, .2, .3, .3), full.losses, half.losses):
        assert a.keys() == b.keys()
        assert all(abs(a[k] - b[k]) < allowed * abs(a[k]) for k in a)
    assert full.losses[-1] != half.losses[-1]


@pytest.mark.parametrize('bad, ends_at', [([2], None), (range(1, 6), 4)])
def test_mixed_precision_skips_a_step_and_stops_after_several(images, tmp_path, bad, ends_at):
    before, after = {}, {}

    def prepare(runner):
        densecl, model = runner.model.tasks['densecl'], runner.model
        responses = densecl.responses

        def broken(batch, layers=None):
            weights = model.backbone.conv1.weight.detach().clone()
            before[runner.iter] = weights
            after[runner.iter - 1] = weights
            factor = float('nan') if runner.iter in bad else 1.
            return {k: v * factor for k, v in responses(batch, layers).items()}

        densecl.responses = broken

    def run():
        return train('mtl_mocov2_densecl', images, tmp_path / f'{len(bad)}', prepare,
                     default_hooks__loss_guard=dict(type='multissl_mm.LossGuardHook', interval=1,
                                                    patience=3), **AMP)

    if ends_at is None:
        _, runner = run()
        assert runner.iter == 6
        assert torch.equal(before[2], after[2]) and not torch.equal(before[3], after[3])
        assert all(torch.isfinite(v).all() for v in runner.model.state_dict().values())
    else:
        with pytest.raises(MultiSSLError, match=rf'step {ends_at} .*densecl.loss.* is not finite, '
                           '3 times in a row'):
            run()


def test_a_key_that_is_no_number_does_not_enter_the_queue():
    queue = NegativeQueue(4, 2)
    old = queue.keys.clone()
    keys = torch.tensor([[1., 0.], [float('nan'), 0.], [0., 1.]])
    queue.enqueue(keys)
    assert torch.equal(queue.keys, torch.stack([keys[0], old[1], keys[2], old[3]]))
    assert int(queue.ptr) == 3
