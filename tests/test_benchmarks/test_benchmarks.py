"""Benchmarks, tiny: what is compared with what, and that every model makes its steps."""
import json

import pytest
import tiny
from mmengine.config import Config

from multissl_mm.benchmarks import step_time
from multissl_mm.benchmarks.hook_overhead import measure_hook_overhead
from multissl_mm.benchmarks.loader import measure_loader
from multissl_mm.benchmarks.models import Sizes
from multissl_mm.benchmarks.sound_front_end import Loading, measure_front_end
from multissl_mm.benchmarks.svm import Problem, measure_svm
from multissl_mm.benchmarks.timing import interleaved, ratio
from multissl_mm.errors import MultiSSLError

SIZES = Sizes(depth=18, size=32, batch_size=2, queue_len=64, feat_dim=16)


def test_rounds_are_interleaved_and_the_first_does_not_count():
    calls = []
    seconds = interleaved(dict(a=lambda: calls.append('a'), b=lambda: calls.append('b')), 2)
    assert calls == list('ababab') and [len(values) for values in seconds.values()] == [2, 2]
    assert ratio([1., 2., 9.], [1., 1., 3.]) == 2


def test_hook_overhead(scope, tmp_path):
    out, config = tmp_path / 'x.json', tmp_path / 'watch.py'
    cfg = Config.fromfile(tiny.CONFIGS / '_base_/watch.py')
    for hook in cfg.custom_hooks:
        if 'max_bank' in hook:
            hook.update(max_bank=640, max_queries=64)  # the real one takes 10 s
    cfg.dump(config)
    measure_hook_overhead(SIZES, rounds=1, config=str(config), out=out)
    result = json.loads(out.read_text())
    seconds = {name: values[0] for name, values in result['seconds'].items()}
    step, shares = seconds['step'], result['shares']
    assert set(shares) == {'GradientHook', 'ForgettingHook', 'KNNHook'}
    # (A step with a look - a step) / a step, once in 200 steps.
    assert shares['GradientHook'] == pytest.approx((seconds['GradientHook'] / step - 1) / 200)
    # Of 4096 pictures, 2 at a time, once in 10 epochs of 640640 steps of 2.
    assert shares['ForgettingHook'] == pytest.approx(
        2048 * seconds['ForgettingHook'] / (10 * 640640 * step))
    assert result['total'] == pytest.approx(sum(shares.values()))


@pytest.mark.parametrize('name', list(step_time.configs(SIZES)))
def test_every_model_makes_a_step(name, scope, tmp_path):
    step_time.build_step(name, SIZES, str(tmp_path))()


def test_step_time(scope, tmp_path, monkeypatch):
    monkeypatch.setattr(step_time, 'peak_memory', lambda name, *args: float(len(name)))
    found = step_time.measure_step_time(SIZES, 1, ['multi-task M+D'], tmp_path / 'x.json')
    models = {'mmpretrain.DenseCL', 'MoCo v2', 'DenseCL', 'multi-task M+D'}
    assert set(found.seconds) == models | {'MoCo v2 + DenseCL', 'supervised'}
    assert found.rates['DenseCL'] == pytest.approx(2 / found.seconds['DenseCL'][0])
    assert set(found.of_limit) == models and found.of_limit['DenseCL'] == pytest.approx(
        found.seconds['supervised'][0] / found.seconds['DenseCL'][0] * 4 / 3)
    assert set(found.ratios) == {'multi-task M+D / mmpretrain.DenseCL',
                                 'multi-task M+D / MoCo v2 + DenseCL'}
    assert not any('memory' in line for line in found.failed)  # 7 is less than 18
    assert json.loads((tmp_path / 'x.json').read_text())['ratios'] == found.ratios
    with pytest.raises(MultiSSLError, match='--models: there is no x; there are MoCo v2'):
        step_time.measure_step_time(SIZES, 1, ['x'])


def test_throughput_of_sound(tmp_path, scope):
    out = tmp_path / 'speed.json'
    speed = measure_front_end(str(tiny.CONFIGS / 'sound/demo/c.py'), rate=2000,
                              options=Loading(0, 2, 1), rounds=2, out=out)
    assert json.loads(out.read_text())['clips_per_second'] == speed
    assert set(speed) == {'in the preprocessor', 'in the worker', 'nowhere'}
    assert all(len(v) == 2 and min(v) > 0 for v in speed.values())
    with pytest.raises(MultiSSLError, match='name a config of configs/sound'):
        measure_front_end(str(tiny.CONFIGS / 'mocov2.py'), rate=2000)


def test_cpu_time_of_views(tmp_path, scope):
    out = tmp_path / 'loader.json'
    config = str(tiny.CONFIGS / '_base_/imagenet_two_views.py')
    spent = measure_loader(config, count=2, rounds=1, out=out)
    assert json.loads(out.read_text())['milliseconds'] == spent
    assert list(spent) == ['MMPretrain', 'MMPretrain, decoded by OpenCV',
                           'batched views, without the device', 'batched views, on the CPU']
    assert all(len(values) == 1 and values[0] > 0 for values in spent.values())
    with pytest.raises(MultiSSLError, match='has no CropViews'):
        measure_loader(str(tiny.CONFIGS / '_base_/imagenet_worker_views.py'))


@pytest.mark.filterwarnings('ignore:Liblinear')
def test_solvers_of_the_svms(tmp_path):
    """In turn; the next round takes the next classes."""
    found = measure_svm(Problem(60, 40, classes=3, sample=1), (1., .25), 2, tmp_path / 'x.json')
    assert json.loads((tmp_path / 'x.json').read_text()) == found
    assert list(found['classes']) == ['class0', 'class1']
    ratios = [a / b for a, b in zip(found['seconds']['liblinear'], found['seconds']['gram'])]
    assert found['speedup'] == pytest.approx(sum(ratios) / 2) and min(ratios) > 0
    for row in found['classes'].values():
        assert row['gram']['cost'] == row['liblinear']['cost']
        assert row['gram']['AP'] == pytest.approx(row['liblinear']['AP'], abs=.1)
