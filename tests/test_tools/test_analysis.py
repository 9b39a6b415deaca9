"""Pictures and tables of runs and features."""
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from mmengine.config import Config
from PIL import Image

from multissl_mm.errors import MultiSSLError

ROOT = tiny.CONFIGS.parent
sys.path.insert(0, str(ROOT / 'tools' / 'analysis_tools'))
import compare_runs  # noqa: E402
import curves  # noqa: E402

STAGES = dict(
    model=dict(tasks=[dict(name='m'), dict(name='d')]),
    default_hooks=dict(stage=dict(type='multissl_mm.ILStageHook', epochs=[2, 2])))


def line(step, **values):
    """A line of the logger; epochs have 10 steps."""
    return dict(values, lr=.1, epoch=(step - 1) // 10 + 1, iter=step, step=step)


def write(work_dir, start, lines, config=None, torn=''):
    folder = work_dir / start / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n' + torn)
    if config:
        Config(config).dump(folder / 'config.py')
    return str(work_dir)


@pytest.fixture
def run(tmp_path):
    """Killed in epoch 3, resumed from the end of epoch 2, then tested."""
    work_dir = tmp_path / 'il'
    first = [line(i, **{'m.loss': 5 - i / 10}) for i in range(5, 21, 5)]
    lost = [line(i, **{'d.loss_a': 99.}) for i in (25, 30)]
    write(work_dir, '20260101_000000', first + lost, STAGES, torn='{"d.loss_a": 9')
    again = [line(i, **{'d.loss_a': i, 'd.loss_b': 1, 'm.loss_distill': i / 100})
             for i in range(25, 36, 5)]
    watch = [line(30, **{'heldout/m': 2., 'forgetting/m': .5, 'knn/top1': 40.,
                         'gradient_cosine/d-m': -.1, 'gradient_norm_ratio/d-m': 3.}),
             {'coco/bbox_mAP': .25, 'step': 3}]  # as after a validation
    write(work_dir, '20260101_010000', [*again[:2], *watch, again[2]], STAGES)
    write(work_dir, '20260101_020000', [{'coco/bbox_mAP': .5, 'step': 0}], STAGES)
    return str(work_dir)


def test_a_resumed_run_is_one_run(run, capsys):
    found = curves.read_run(run)
    assert 'line 7: left out' in capsys.readouterr().out
    x, y = found.curves['d.loss_a']
    assert y.tolist() == [25, 30, 35]  # not 99
    assert x.tolist() == [2.5, 3, 3.5]
    assert found.curves['m.loss'][0].tolist() == [.5, 1, 1.5, 2]
    assert found.curves['coco/bbox_mAP'][0].tolist() == [3] and found.epochs == 3.5
    assert found.stages == [('stage 1: m', 0, 2), ('stage 2: d', 2, 4)]
    assert not {'iter', 'epoch', 'step'} & found.curves.keys()


def test_stages_may_have_epochs_of_different_lengths(tmp_path):
    lines = [dict(loss=1., epoch=e, iter=i) for e, i in ((1, 5), (1, 10), (2, 30), (3, 50))]
    x, _ = curves.read_run(write(tmp_path / 'x', 'start', lines)).curves['loss']
    assert x.tolist() == [.5, 1, 2, 3]


def test_picture_of_a_run(run, tmp_path):
    figure = curves.draw(curves.read_run(run))
    axes = {axis.get_title(): axis for axis in figure.axes}
    losses = {text.get_label(): text for text in axes['Losses by task'].lines}
    assert set(losses) == {'m.loss', 'm.loss_distill', 'd.loss_a', 'd.loss_b'}
    assert losses['m.loss'].get_color() == losses['m.loss_distill'].get_color()
    assert losses['m.loss'].get_linestyle() != losses['m.loss_distill'].get_linestyle()
    assert losses['d.loss_a'].get_color() == losses['d.loss_b'].get_color()
    assert losses['m.loss'].get_color() != losses['d.loss_a'].get_color()
    assert axes['Forgetting'].lines[0].get_color() == losses['m.loss'].get_color()
    for title in ('Learning rate', 'kNN probe', 'Metrics', 'Gradients on the backbone: cosine'):
        assert [text.get_text() for text in axes[title].texts] == ['stage 1: m', 'stage 2: d']
    assert 'Loss' not in axes  # the sum says less
    curves.main([run, '--out', str(tmp_path / 'new' / 'x.png')])
    with Image.open(tmp_path / 'new' / 'x.png') as picture:
        assert min(picture.size) > 600
        assert len(set(picture.convert('L').getdata())) > 50
    curves.main([run])
    assert (Path(run) / 'curves.png').is_file()
    with pytest.raises(MultiSSLError, match="Format 'docx'"):
        curves.main([run, '--out', str(tmp_path / 'x.docx')])


def test_runs_that_cannot_be_read(tmp_path):
    with pytest.raises(MultiSSLError, match='no such folder'):
        curves.read_run(str(tmp_path / 'absent'))
    with pytest.raises(MultiSSLError, match='no .*scalars.json'):
        curves.read_run(str(tmp_path))
    with pytest.raises(MultiSSLError, match='no training step is logged yet'):
        curves.read_run(write(tmp_path / 'new', 'start', []))


def test_comparison(run, tmp_path, capsys):
    other = write(tmp_path / 'mtl', 'start', [
        line(i, **{'m.loss': 1., 'knn/top1': 60., 'loss': 3.}) for i in (10, 20)])
    compare_runs.main([run, other, '--out', str(tmp_path / 'x.png'),
                       '--json', str(tmp_path / 'x.json')])
    values = json.loads((tmp_path / 'x.json').read_text())
    assert values['m.loss'] == {'il': 3, 'mtl': 1}
    assert values['knn/top1'] == {'il': 40, 'mtl': 60}
    assert values['forgetting/m'] == {'il': .5}
    printed = capsys.readouterr().out
    assert 'knn/top1' in printed and '3.5' in printed  # the last row: epochs
    with Image.open(tmp_path / 'x.png') as picture:
        assert min(picture.size) > 300
    runs = compare_runs.load([run, other])
    figure = compare_runs.draw(runs, list(values))
    assert [axis.get_title() for axis in figure.axes] == ['knn/top1', 'm.loss']
    assert [text.get_label() for text in figure.axes[0].lines] == ['il', 'mtl']
    assert compare_runs.draw(runs, ['loss']) is None
    same = write(tmp_path / 'b' / 'mtl', 'start', [line(10, loss=1.)])
    assert [r.name for r in compare_runs.load([other, same])] == [other, same]


@pytest.mark.parametrize('arguments, message', [
    (['{run}'], 'needs two work_dirs'),
    (['{run}', '{run}'], 'named twice'),
    (['{run}', '{other}', '--keys', 'x.*'], 'matches nothing; the runs have'),
    (['{run}', '{other}', '--keys', '('], 'no regular expression'),
])
def test_comparisons_that_make_no_sense(run, tmp_path, arguments, message):
    other = write(tmp_path / 'mtl', 'start', [line(10, loss=1.)])
    with pytest.raises(MultiSSLError, match=message):
        compare_runs.main([a.format(run=run, other=other) for a in arguments])


# ---------------------------------------------------------------------- as commands


def test_errors_are_for_people(tmp_path):
    done = subprocess.run([sys.executable, ROOT / 'tools/analysis_tools/compare_runs.py', 'a', 'b'],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == 'error: a: no such folder'


def test_hook_overhead(scope, tmp_path, monkeypatch):
    out = tmp_path / 'x.json'
    monkeypatch.setattr(sys, 'argv', [
        'hook_overhead.py', '--depth', '18', '--size', '32', '--batch-size', '2', '--queue-len',
        '64', '--rounds', '1', '--out', str(out)])
    runpy.run_path(str(ROOT / 'tools/benchmarks/hook_overhead.py'))['main']()
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
