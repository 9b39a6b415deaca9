"""Table 4's rows: their commands, and what is made of their results."""
import json
import re

import pytest
import tiny
from mmengine.config import Config
from recorded import RecordedSteps, evaluate
from rich.console import Console

from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce import reproduce_table
from multissl_mm.reproduce.bounds import picture_bounds, show_bounds
from multissl_mm.reproduce.outcomes import last_metrics
from multissl_mm.reproduce.pictures import COLUMNS, EVALUATIONS, TABLE4, PictureRun
from multissl_mm.reproduce.scales import SCALES

ROWS = TABLE4.rows


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('key', list(ROWS))
def test_every_row_names_configs_that_exist_and_fit(tmp_path, monkeypatch, full, key):
    monkeypatch.chdir(tmp_path)
    steps = RecordedSteps(tmp_path / 'logs', lambda done: dict(mAP=36.))
    out = tmp_path / 'table'
    run = PictureRun(ROWS, out, steps, 1, SCALES['paper' if full else 'demo'], gpus=8 * full,
                     given=dict(detco='x.pth'))
    evaluate(run, key, EVALUATIONS)
    found = TABLE4.collect(out, key)
    assert list(found) == list(EVALUATIONS)
    assert all(seeds['seed1']['mAP'] == 36. for seeds in found.values())
    steps.check_files()
    text = '\n'.join(steps.commands)
    segmentation, = (c for c in steps.commands if 'linear_segmentation' in c)
    assert ('--data-root data/coco --image-size 224' if full else
            '--data-root data/demo/coco --image-size 128') in segmentation
    trained = sum('_train.sh' in c or 'tools/train.py' in c for c in steps.commands)
    row = ROWS[key]
    assert trained == 1 + bool(row.pretrain) + len(row.parts)
    assert ('dist_train.sh' in text) == full and 'randomness.seed=1' in text
    assert ('--auto-scale-lr' in text) == full
    for part in row.parts:
        assert len(set(re.findall(rf'runs/{part}-\w{{10}}/final.pth', text))) == (
            row.parts.count(part))
    if row.pretrain and row.parts:
        assert f'model.experts.0.backbone.init_cfg.checkpoint=runs/{row.parts[0]}-' in text
    if key == 'detco':
        assert 'init_cfg.checkpoint=x.pth' in text


def test_full_and_demo_configs_are_the_same_experiment():
    """Same algorithm, tasks and losses; sizes and schedules differ."""
    for key, row in ROWS.items():
        name = row.pretrain or row.backbone
        full, demo = (Config.fromfile(tiny.CONFIGS / f'{folder}{name}.py').model
                      for folder in ('', 'demo/'))
        if key == 'supervised':
            continue
        assert full.get('type') == demo.get('type')
        assert [t.name for t in full.get('tasks', [])] == [t.name for t in demo.get('tasks', [])]
        for k in ('loss', 'projector', 'temperature', 'loss_weights', 'distill_weights'):
            assert full.get(k) == demo.get(k), (name, k)


def test_mean_and_spread(tmp_path):
    for seed, value in enumerate((10., 12., 14.)):
        folder = tmp_path / f'seed{seed}'
        folder.mkdir()
        for run in ('svm', 'segmentation', 'mask_rcnn'):
            row = {column.metric: value for column in COLUMNS if column.run == run}
            (folder / f'mocov2_{run}.json').write_text(json.dumps(row))
    console = Console(record=True, width=140)
    assert list(TABLE4.show(tmp_path, console)) == ['mocov2']
    text = (tmp_path / 'table4.md').read_text()
    # Half of Student's interval: 4.303 x 2 / sqrt(3).
    assert '| MoCo v2 (M) | 3 | 12.0 ± 5.0 (1) |' in text and len(text.splitlines()) == 4
    assert '| MoCo v2 (M), in the paper |  | 84.3 |' in text
    lines = (tmp_path / 'table4.csv').read_text().splitlines()
    assert len(lines) == 1 + len(COLUMNS) and lines[1].startswith(
        'mocov2,MoCo v2 (M),SVM mAP,3,12.0,7.03') and lines[1].endswith(
        'seed0=10.0 seed1=12.0 seed2=14.0')
    assert list(json.loads((tmp_path / 'table4.json').read_text())['mocov2']['svm']) == [
        'seed0', 'seed1', 'seed2']
    assert (tmp_path / 'table4.png').stat().st_size > 10_000


def test_the_papers_numbers_stand_below(tmp_path, capsys):
    (tmp_path / 'seed0').mkdir()
    (tmp_path / 'seed0' / 'mocov2_svm.json').write_text('{"mAP": 50}')  # one cell alone
    TABLE4.show(tmp_path, Console(width=200))
    printed = capsys.readouterr().out
    assert '50.0 (1)' in printed and '±' in printed
    assert 'in the paper' in printed and '84.3' in printed


@pytest.mark.parametrize('arguments, message', [
    (dict(name='table5'), 'there is no table5; tables are table2a'),
    (dict(name='table4', rows=['detco']), '--checkpoint'),
    (dict(name='all', rows=['detco'], checkpoint='x.pth'), 'one after the other'),
    (dict(name='table3', checkpoint='x.pth'), 'name the row that it is of with --rows'),
    (dict(name='table2a', rows=['a'], checkpoint='x.pth'), 'is of none of the rows a;'),
    (dict(name='table4', rows=['a']), 'table4 has no row a; it has random'),
    (dict(name='table2a', rows=['il_b_c']), 'table2a has no row il_b_c; it has random'),
    (dict(name='table4', downstream=['sp']),
     'no downstream task sp; it has svm, segmentation, mask_rcnn'),
])
def test_what_there_is_not_is_refused_before_anything_runs(tmp_path, arguments, message):
    with pytest.raises(MultiSSLError, match=message):
        reproduce_table(out=tmp_path / 'out', **arguments)
    assert not (tmp_path / 'out').exists()


def test_metrics_are_the_last_ones(tmp_path):
    folder = tmp_path / 'run' / '2026' / 'vis_data'
    folder.mkdir(parents=True)
    lines = [{'loss': 1.}, {'coco/bbox_mAP': .1, 'step': 1}, {'coco/bbox_mAP': .25, 'step': 2}]
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    assert last_metrics(tmp_path / 'run', 'coco/') == {'bbox_mAP': .25}
    with pytest.raises(MultiSSLError, match='has no coco metrics'):
        last_metrics(tmp_path, 'coco/')
    # As a full disk leaves it, whose start was gone on with.
    (folder / 'scalars.json').write_text('{"coco/bbox_mAP": 0.1}\n{"loss": 1.0, "lo')
    later = folder.parents[1] / '2027' / 'vis_data'
    later.mkdir(parents=True)
    (later / 'scalars.json').write_text('{"coco/bbox_mAP": 0.25}\n')
    assert last_metrics(tmp_path / 'run', 'coco/') == {'bbox_mAP': .25}


def test_metrics_of_coco_are_kept_in_percent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = RecordedSteps(tmp_path / 'logs', lambda done: {})
    run = PictureRun(ROWS, tmp_path / 'out', steps)

    def leave_log(title, log, *command, done):
        folder = done.with_suffix('') / '2026' / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text('{"coco/bbox_mAP": 0.25}')

    steps.run = leave_log
    evaluate(run, 'random', ['mask_rcnn'])
    result = json.loads(run.result('random', 'mask_rcnn').read_text())
    assert result.pop('made')['of'].startswith('random_mask_rcnn-')
    assert result == {'bbox_mAP': 25.}


def test_bounds_of_pictures(tmp_path, capsys):
    """In every seed by a margin, or of the means; each can fail."""
    worth = dict(random=(36., 11., 3.), mocov2=(40., 17., 4.), densecl=(39., 18., 4.),
                 il_mocov2_densecl=(42., 20., 6.))

    def write(key, seed, svm, segmentation, box):
        for run, metrics in (('svm', dict(mAP=svm)), ('segmentation', dict(mAP=segmentation)),
                             ('mask_rcnn', dict(bbox_mAP=box))):
            path = tmp_path / f'seed{seed}' / f'{key}_{run}.json'
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(metrics))

    assert picture_bounds(tmp_path) == []
    for seed in range(3):
        for key, numbers in worth.items():
            write(key, seed, *numbers)
    every = picture_bounds(tmp_path)
    assert len(every) == 7 and all(bound.holds and bound.held == 3 for bound in every)
    for key, numbers, broken in (
            ('mocov2', (38., 17., 4.), ['M: SVM mAP at least 3']),
            ('densecl', (39., 15.5, 4.), ['D: linear segmentation at least 5']),
            ('il_mocov2_densecl', (40.9, 18.9, 4.9), ['IL: SVM mAP', 'IL: linear', 'IL: box AP'])):
        write(key, 1, *numbers)  # the means still are as they should be
        failed = [bound for bound in picture_bounds(tmp_path) if not bound.holds]
        assert [bound.held for bound in failed] == [2] * len(broken)
        assert all(bound.title.startswith(title) for bound, title in zip(failed, broken))
        write(key, 1, *worth[key])
    for seed in (1, 2):
        write('densecl', seed, 41., 18., 4.)
    failed, = (bound for bound in picture_bounds(tmp_path) if not bound.holds)
    assert failed.title == 'M: SVM mAP above that of D' and failed.held == 1
    show_bounds(picture_bounds(tmp_path), Console(width=140))
    assert '1 of 3' in (out := capsys.readouterr().out) and out.count('DOES NOT HOLD') == 1
