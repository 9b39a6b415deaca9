"""All algorithms on sound, then downstream tasks on what they leave, on tiny scenes."""

import pytest
import runs
import sounds
import tiny
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from runs import train_here
from tiny import CONFIGS

from multissl_mm.errors import MultiSSLError
from multissl_mm.registry import MODELS
from multissl_mm.runtime import RunOptions, load_config, prepare_cfg, use_pretrained

COMBINATIONS = ('b_c', 'b_c_a', 'b_a', 'c_a')


@pytest.fixture(scope='module')
def expert(scenes, tmp_path_factory):
    """A checkpoint of the tiny encoder."""
    path = tmp_path_factory.mktemp('expert') / 'expert.pth'
    backbone = MODELS.build(sounds.sound_config('b', scenes, path.parent).model.backbone)
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in backbone.state_dict().items()}),
               path)
    return path


def with_experts(cfg, expert):
    for entry in cfg.model.get('experts', []):
        entry.backbone.init_cfg.checkpoint = str(expert)
    return cfg


@pytest.mark.parametrize('name', ['supervised', 'euclidean-dist_b_c_a', 'contrastive-dist_b_c_a',
                                  'progressive_b_c_a'])
def test_every_algorithm_learns_from_sound(scenes, expert, tmp_path, name, scope):
    cfg = with_experts(sounds.sound_config(name, scenes, tmp_path), expert)
    steps = tiny.epochs(cfg) * 3
    train_here(cfg)
    last = runs.last_checkpoint(tmp_path)
    assert last['meta']['iter'] == steps
    assert all(torch.isfinite(v).all() for v in last['state_dict'].values())
    assert any(k.startswith('backbone.') for k in last['state_dict'])


@pytest.mark.parametrize('combination', COMBINATIONS)
@pytest.mark.parametrize('method', ['euclidean-dist', 'contrastive-dist', 'progressive', 'concat',
                                    'mtl', 'il'])
def test_every_combination_by_the_same_algorithms(scenes, expert, tmp_path, method, combination,
                                                  scope):
    """Full and demo configs name the same tasks; the demo's encoder gets a gradient."""
    names = combination.split('_')
    for folder in ('sound', 'sound/demo'):
        cfg = Config.fromfile(CONFIGS / folder / f'{method}_{combination}.py').model
        if method == 'concat':
            assert len(cfg.backbone.encoders) == len(names)
        else:
            assert [t.name for t in cfg.get('experts', cfg.get('tasks'))] == names
            assert cfg.type.split('.')[-1] in ('ExpertDistillation', 'ProgressiveNet', 'MultiTask',
                                               'IncrementalLearning')
    if method == 'concat':
        return
    cfg = with_experts(sounds.sound_config(f'{method}_{combination}', scenes, tmp_path), expert)
    if 'responses' in cfg.model:
        cfg.model.responses = dict(source='teacher')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).train()
    batch = model.data_preprocessor(sounds.batch(size=(16, 128)), True)
    inputs = {k: v for k, v in batch['inputs'].items()
              if method[-4:] != 'dist' or k == 'clip'}
    losses = model(inputs, mode='loss').losses
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    moved = [p for p in model.backbone.parameters() if p.grad is not None and p.grad.any()]
    assert moved


@pytest.mark.parametrize('name, kills', [('progressive_b_c_a', ['iter:4', 'iter:14']),
                                         ('rehearsal_b_c_a', ['iter:14']),
                                         ('contrastive-dist_b_a', ['record', 'iter:4'])])
def test_killed_and_resumed_equals_never_killed(scenes, expert, tmp_path, name, kills):
    def config(folder):
        return with_experts(sounds.sound_config(name, scenes, tmp_path / folder), expert)

    runs.train(config('whole'))
    for kill_at in kills:
        runs.train(config('broken'), kill_at)
    runs.train(config('broken'))
    whole, broken = (runs.last_checkpoint(tmp_path / folder) for folder in ('whole', 'broken'))
    for key in ('state_dict', 'optimizer'):
        runs.assert_same(whole[key], broken[key], key)


@pytest.mark.parametrize('task, metrics', [
    ('sp', {'sp/mIoU', 'sp/mIoU_restricted', 'sp/mAP', 'sp/constant'}),
    ('s3r', {'s3r/error', 's3r/stft', 's3r/envelope', 's3r/copy_error'}),
    ('vr', {'vr/sound_top1', 'vr/video_top1', 'vr/video_top5', 'vr/video_median_rank'}),
])
def test_trained_then_tested_gives_the_same_numbers(scenes, expert, tmp_path, task, metrics, scope):
    encoder = sounds.sound_config('b', scenes, tmp_path).model.backbone
    weights = dict(type='Pretrained', checkpoint=str(expert), prefix='backbone.')
    cfg = sounds.downstream_config(task, scenes, tmp_path, dict(encoder, init_cfg=weights))
    trained = train_here(cfg)
    seen = {k: v.current() for k, v in trained.message_hub.log_scalars.items() if 'val/' in k}
    assert metrics <= {k[len('val/'):] for k in seen}
    if task == 'vr':  # the encoder is still the pretrained one
        state = runs.last_checkpoint(tmp_path)['state_dict']
        for key, value in torch.load(expert, weights_only=True)['state_dict'].items():
            assert torch.equal(state[key], value), key
    again = cfg.copy()
    again.load_from, again.resume = (tmp_path / 'last_checkpoint').read_text(), False
    again.experiment_name = f'{tmp_path.name}_test'
    tested = Runner.from_cfg(again).test()
    for key, value in tested.items():
        assert value == pytest.approx(seen[f'val/{key}'], rel=1e-5, nan_ok=True), key


def test_pretrained_names_any_encoder(expert):
    names = ['sound/demo/b', 'sound/demo/concat_b_c', 'sound/demo/progressive_b_c']
    for task in ('sp', 's3r', 'vr'):
        for size in ('', 'demo/'):
            for name in names if size else [n.replace('demo/', '') for n in names]:
                cfg = Config.fromfile(CONFIGS / f'benchmarks/sound/{size}{task}.py')
                cfg.pretrained = dict(config=str(CONFIGS / f'{name}.py'), checkpoint='random')
                use_pretrained(cfg)
                assert 'pretrained' not in cfg and 'init_cfg' not in cfg.model.backbone
    cfg.pretrained = dict(config=str(CONFIGS / 'sound/demo/b.py'), checkpoint=str(expert))
    use_pretrained(cfg)
    assert cfg.model.backbone.init_cfg == dict(type='Pretrained', checkpoint=str(expert),
                                               prefix='backbone.')


def test_an_encoder_is_given_the_spectrograms_that_it_is_used_to():
    """And what is to be predicted stays as it is."""
    cfg = Config.fromfile(CONFIGS / 'benchmarks/sound/demo/s3r.py')
    before = dict(cfg.data_preprocessor)
    cfg.pretrained = dict(config=str(CONFIGS / 'sound/demo/b.py'), checkpoint='random')
    use_pretrained(cfg)
    preprocessor = MODELS.build(cfg.data_preprocessor)
    assert cfg.data_preprocessor == before
    cfg.pretrained = dict(config=str(CONFIGS / 'sound/demo/yamnet.py'), checkpoint='random')
    use_pretrained(cfg)
    other = MODELS.build(cfg.data_preprocessor)
    inputs = dict(clip=torch.randn(1, 2, 8000), turned=torch.randn(1, 3, 2, 8000))
    assert other.floor == 1e-10 and preprocessor.floor == 1e-5
    plain, changed = (p(dict(inputs=dict(inputs)))['inputs'] for p in (preprocessor, other))
    assert plain['clip'].shape == (1, 2, 128, 13) and changed['clip'].shape == (1, 2, 257, 51)
    torch.testing.assert_close(changed['turned_stft'], plain['turned_stft'])
    waves = other.waves(changed['turned_stft'], changed['scale'], 8000)
    torch.testing.assert_close(waves[..., 300:-300], inputs['turned'][..., 300:-300],
                               atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('pretrained, text', [
    (dict(config='nowhere.py', checkpoint='random'), 'nowhere.py: no such config'),
    (dict(config='b.py', checkpoint=None), "pretrained.checkpoint is not set.*'random'"),
    (dict(config='b.py', checkpoint='x.pth'), 'pretrained.checkpoint: x.pth: no such'),
])
def test_pretrained_says_what_is_missing(pretrained, text):
    if pretrained['config'] == 'b.py':
        pretrained['config'] = str(CONFIGS / 'sound/demo/b.py')
    with pytest.raises(MultiSSLError, match=text):
        use_pretrained(Config(dict(model=dict(), pretrained=pretrained)))


def test_downstream_configs_build(scope):
    """Full size, on every kind of encoder; features and decoder agree."""
    for task in ('sp', 's3r', 'vr'):
        for name in ('b', 'concat_b_c', 'progressive_b_c', 'supervised'):
            cfg = Config.fromfile(CONFIGS / f'benchmarks/sound/{task}.py')
            cfg.pretrained = dict(config=str(CONFIGS / f'sound/{name}.py'), checkpoint='random')
            use_pretrained(cfg)
            model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
            assert model.width == (2048 if name == 'concat_b_c' else 1024)


def test_arguments_reach_the_encoder(expert, tmp_path):
    """As ``tools/train.py`` is called by ``reproduce.py``."""
    demo = CONFIGS / 'benchmarks/sound/demo/sp.py'
    options = {'pretrained.config': str(CONFIGS / 'sound/demo/concat_b_c.py'),
               'pretrained.checkpoint': str(expert), 'train_dataloader': None,
               'val_dataloader': None, 'test_dataloader': None}
    cfg = prepare_cfg(load_config(str(demo)), arguments(
        demo, cfg_options=options, work_dir=str(tmp_path)))
    assert cfg.model.backbone.type == 'multissl_mm.ConcatBackbone'
    assert cfg.model.backbone.init_cfg.checkpoint == str(expert)


def arguments(config, **kwargs):
    return RunOptions(str(config), **kwargs)


def test_what_a_run_leaves_is_all_that_a_test_needs(scenes, expert, tmp_path, scope):
    """``tools/train.py``, then ``tools/test.py`` with its config, the encoder's file gone."""
    encoder = tmp_path / 'b.py'
    cfg = sounds.sound_config('b', scenes, tmp_path)
    cfg.dump(encoder)
    weights = tmp_path / 'expert.pth'
    weights.write_bytes(expert.read_bytes())
    config = tmp_path / 'sp.py'
    cfg = sounds.downstream_config('sp', scenes, tmp_path / 'run', None)
    cfg.pretrained = dict(config=str(encoder), checkpoint=str(weights))
    cfg.dump(config)
    cfg = prepare_cfg(load_config(str(config)), arguments(config))
    trained = train_here(cfg)
    seen = {k: v.current() for k, v in trained.message_hub.log_scalars.items() if 'val/' in k}
    weights.unlink()
    encoder.unlink()

    last = (tmp_path / 'run' / 'last_checkpoint').read_text()
    left = tmp_path / 'run' / 'sp.py'
    assert 'pretrained' not in Config.fromfile(left)

    def test(checkpoint):
        cfg = prepare_cfg(load_config(str(left)), arguments(
            left, checkpoint=str(checkpoint), work_dir=str(tmp_path / 'test')))
        cfg.experiment_name = str(checkpoint)
        return Runner.from_cfg(cfg).test()

    for key, value in test(last).items():
        assert value == pytest.approx(seen[f'val/{key}'], rel=1e-5, nan_ok=True), key
    state = torch.load(last, weights_only=False)
    meta = state['meta']['dataset_meta']  # E9: what an inferencer must know of the data
    assert tuple(meta['size']) == (16, 64) and tuple(meta['rows']) == (.25, .75)
    assert meta['sample_rate'] == 4000 and len(meta['classes']) == 5
    state['state_dict'] = {k: v for k, v in state['state_dict'].items() if 'decoder' not in k}
    torch.save(state, tmp_path / 'encoder.pth')
    with pytest.raises(MultiSSLError, match='encoder.pth lacks decoder.*SemanticPrediction'):
        test(tmp_path / 'encoder.pth')


def test_runs_are_named_by_their_encoder():
    config = CONFIGS / 'benchmarks/sound/demo/vr.py'
    options = {'pretrained.config': str(CONFIGS / 'sound/demo/il_b_c_a.py'),
               'pretrained.checkpoint': 'random', 'train_dataloader': None,
               'val_dataloader': None, 'test_dataloader': None}
    cfg = prepare_cfg(load_config(str(config)), arguments(config, cfg_options=options))
    assert cfg.work_dir.endswith('vr_il_b_c_a')
