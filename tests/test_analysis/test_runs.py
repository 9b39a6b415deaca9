"""Curves of runs, and of several on top of each other."""
import json
import os
from pathlib import Path

import pytest
from commands import run_tool
from mmengine.config import Config
from PIL import Image

from multissl_mm.analysis import compare, compare_runs, curves, draw_curves, read_run
from multissl_mm.analysis.runs import read_log
from multissl_mm.errors import MultiSSLError

STAGES = dict(
    model=dict(tasks=[dict(name='m'), dict(name='d')]),
    train_cfg=dict(type='multissl_mm.StagedTrainLoop', stages=[2, 2]))


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
    found = read_run(run)
    assert 'line 7: left out' in capsys.readouterr().out
    x, y = found.curves['d.loss_a']
    assert y.tolist() == [25, 30, 35]  # not 99
    assert x.tolist() == [2.5, 3, 3.5]
    assert found.curves['m.loss'][0].tolist() == [.5, 1, 1.5, 2]
    assert found.curves['coco/bbox_mAP'][0].tolist() == [3] and found.epochs == 3.5
    assert found.stages == [('stage 1: m', 0, 2), ('stage 2: d', 2, 4)]
    assert not {'iter', 'epoch', 'step'} & found.curves.keys()


def test_a_resumed_run_may_begin_with_a_validation(tmp_path):
    """Killed in the validation behind epoch 2; what is logged first has no step before it."""
    steps = [line(i, loss=1 / i) for i in range(5, 31, 5)]
    work_dir = write(tmp_path / 'x', '20260101_000000', [
        *steps[:2], {'coco/bbox_mAP': .1, 'step': 1}, *steps[2:4]], STAGES)
    write(tmp_path / 'x', '20260101_010000', [{'coco/bbox_mAP': .3, 'step': 2}], STAGES)
    lines, used = read_log(work_dir)  # of a run that has only its last validation left, too
    assert lines[-1] == {'coco/bbox_mAP': .3, 'step': 2, 'iter': 20, 'epoch': 2}
    assert used.parent.parent.name == '20260101_010000'
    # Killed again before it was noted, so that it is done again; then a test of it all.
    write(tmp_path / 'x', '20260101_020000', [
        {'coco/bbox_mAP': .4, 'step': 2}, *steps[4:], {'coco/bbox_mAP': .5, 'step': 3}], STAGES)
    write(tmp_path / 'x', '20260101_030000', [{'coco/bbox_mAP': .9, 'step': 0}], STAGES)
    x, y = read_run(work_dir).curves['coco/bbox_mAP']
    assert x.tolist() == [1, 2, 3] and y.tolist() == [.1, .4, .5]
    # From the end of epoch 1 again: what comes later stays until it is done again.
    write(tmp_path / 'x', '20260101_040000', [{'coco/bbox_mAP': .2, 'step': 1}], STAGES)
    x, y = read_run(work_dir).curves['coco/bbox_mAP']
    assert x.tolist() == [1, 2, 3] and y.tolist() == [.2, .4, .5]
    with pytest.raises(MultiSSLError, match='no training step is logged yet'):
        read_log(write(tmp_path / 'y', 'start', [{'coco/bbox_mAP': .2, 'step': 1}]))


def test_a_validation_of_a_run_that_counts_iterations(tmp_path):
    steps = [dict(loss=1., lr=.1, iter=i, step=i) for i in range(10, 61, 10)]
    work_dir = write(tmp_path / 'x', '20260101_000000', steps)
    write(tmp_path / 'x', '20260101_010000', [
        {'mIoU': 7., 'step': 45}, dict(loss=2., lr=.1, iter=50, step=50)])
    lines, _ = read_log(work_dir)
    assert [line['iter'] for line in lines] == [10, 20, 30, 40, 40, 50]
    assert lines[4]['mIoU'] == 7 and lines[5]['loss'] == 2


def test_stages_may_have_epochs_of_different_lengths(tmp_path):
    lines = [dict(loss=1., epoch=e, iter=i) for e, i in ((1, 5), (1, 10), (2, 30), (3, 50))]
    x, _ = read_run(write(tmp_path / 'x', 'start', lines)).curves['loss']
    assert x.tolist() == [.5, 1, 2, 3]


def test_picture_of_a_run(run, tmp_path):
    figure = curves.draw(read_run(run))
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
    assert draw_curves(run, tmp_path / 'new' / 'x.png') == tmp_path / 'new' / 'x.png'
    with Image.open(tmp_path / 'new' / 'x.png') as picture:
        assert min(picture.size) > 600
        assert len(set(picture.convert('L').getdata())) > 50
    draw_curves(run)
    assert (Path(run) / 'curves.png').is_file()
    with pytest.raises(MultiSSLError, match='x.docx: a picture is to end with its format'):
        draw_curves(run, tmp_path / 'x.docx')


def test_runs_that_cannot_be_read(tmp_path):
    with pytest.raises(MultiSSLError, match='no such folder'):
        read_run(str(tmp_path / 'absent'))
    with pytest.raises(MultiSSLError, match='no .*scalars.json'):
        read_run(str(tmp_path))
    with pytest.raises(MultiSSLError, match='no training step is logged yet'):
        read_run(write(tmp_path / 'new', 'start', []))


def test_comparison(run, tmp_path, capsys):
    other = write(tmp_path / 'mtl', 'start', [
        line(i, **{'m.loss': 1., 'knn/top1': 60., 'loss': 3.}) for i in (10, 20)])
    values, picture = compare_runs([run, other], tmp_path / 'x.png')
    assert picture == tmp_path / 'x.png'
    assert values['m.loss'] == {'il': 3, 'mtl': 1}
    assert values['knn/top1'] == {'il': 40, 'mtl': 60}
    assert values['forgetting/m'] == {'il': .5}
    printed = capsys.readouterr().out
    assert 'knn/top1' in printed and '3.5' in printed  # the last row: epochs
    with Image.open(tmp_path / 'x.png') as picture:
        assert min(picture.size) > 300
    runs = compare.load([run, other])
    figure = compare.draw(runs, list(values))
    assert [axis.get_title() for axis in figure.axes] == ['knn/top1', 'm.loss']
    assert [text.get_label() for text in figure.axes[0].lines] == ['il', 'mtl']
    assert compare.draw(runs, ['loss']) is None
    same = write(tmp_path / 'b' / 'mtl', 'start', [line(10, loss=1.)])
    assert [r.name for r in compare.load([other, same])] == [other, same]


def test_comparisons_that_make_no_sense(run, tmp_path):
    other, out = write(tmp_path / 'mtl', 'start', [line(10, loss=1.)]), tmp_path / 'x.png'
    for runs, keys, message in (
            ([run], 'loss', 'needs two work_dirs'), ([run, run], 'loss', 'named twice'),
            ([run, other], 'x.*', 'matches nothing; the runs have'),
            ([run, other], '(', 'no regular expression')):
        with pytest.raises(MultiSSLError, match=message):
            compare_runs(runs, out, keys)
    assert not out.exists()


def test_runs_without_a_key_in_common(run, tmp_path):
    other = write(tmp_path / 'mtl', 'start', [line(10, loss=1.)])
    found = compare_runs([run, other], tmp_path / 'x.png', r'loss|m\.loss')
    assert found.picture is None and set(found.values) == {'loss', 'm.loss'}


def test_runs_of_earlier_versions_have_their_stages_in_a_hook(tmp_path):
    config = dict(STAGES, train_cfg=dict(max_epochs=3), default_hooks=dict(
        stage=dict(type='multissl_mm.ILStageHook', epochs=[1, 2])))
    found = read_run(write(tmp_path / 'x', 'start', [line(10, loss=1.)], config))
    assert found.stages == [('stage 1: m', 0, 1), ('stage 2: d', 1, 3)]


def test_a_folder_is_no_file_to_write(run, tmp_path):
    other = write(tmp_path / 'mtl', 'start', [line(10, loss=1., **{'m.loss': 1.})])
    folder = tmp_path / 'folder'
    folder.mkdir()
    for arguments, message in (
            (('curves.py', run, '--out', folder), 'a picture is to end with its format'),
            (('compare_runs.py', run, other, '--out', tmp_path / 'x.png', '--json', folder),
             'cannot be written (Is a directory)')):
        done = run_tool(f'analysis_tools/{arguments[0]}', *arguments[1:])
        assert done.status == 1 and done.err.startswith(f'error: {folder}: {message}')
        assert done.err.count('\n') == 1 and 'wrote' not in done.out
    assert sorted(os.listdir(tmp_path)) == ['folder', 'il', 'mtl', 'x.png']
