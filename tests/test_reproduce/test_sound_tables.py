"""Tables 2a, 2b and 3: their commands, and what is made of their results."""
import json

import pytest
import tiny
from mmengine.config import Config
from recorded import RecordedSteps, evaluate
from rich.console import Console

from multissl_mm.reproduce.bounds import show_bounds, sound_bounds
from multissl_mm.reproduce.scales import SCALES
from multissl_mm.reproduce.sound import DOWNSTREAM, ROWS, TABLE2A, TABLE2B, TABLE3, SoundRun

VALUES = dict(sp=dict(mIoU=11., mIoU_restricted=40., mAP=20., constant=2.),
              vr=dict(sound_top1=50., video_top1=12., sound_chance=4., video_chance=.4),
              s3r=dict(error=.25, copy_error=.5))


#: Weights of rows that nothing here trains.
OTHERS = dict(audioset='x.pth')


def run_of(tmp_path, seed=0, full=False, **kwargs):
    def leave(done):
        name = done.stem.rpartition('-')[0].replace('_frozen', '')
        return VALUES.get(name.rpartition('_')[2], {})

    return SoundRun(ROWS, tmp_path / 'out', RecordedSteps(tmp_path / 'logs', leave), seed,
                    SCALES['paper' if full else 'demo'], **kwargs)


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('key', list(ROWS))
def test_every_row_names_configs_that_exist(tmp_path, monkeypatch, full, key):
    monkeypatch.chdir(tmp_path)
    run, row = run_of(tmp_path, 1, full=full, gpus=4 * full, given=OTHERS), ROWS[key]
    evaluate(run, key, DOWNSTREAM)
    steps = run.steps
    steps.check_files()
    text = '\n'.join(steps.commands)
    trained = [c for c in steps.commands if 'configs/sound/' in c.split()[1] and 'train' in c]
    assert len(trained) == bool(row.pretrain) + len(row.parts)
    evaluated = [c for c in steps.commands if 'configs/benchmarks/sound/' in c]
    # SP and S3R with the whole model trained and with a frozen encoder; concatenated ones are so.
    assert len(evaluated) == (3 if key.startswith('concat') else 5)
    assert sum('model.frozen=True' in c for c in evaluated) == (
        0 if key.startswith('concat') else 2)
    assert all('randomness.seed=1' in c for c in evaluated)
    assert all(f'randomness.seed={1 + k}' in c for k, c in zip(
        row.part_seeds or (0, ) * 9, trained))
    checkpoint = {c.split('pretrained.checkpoint=')[1].split()[0] for c in evaluated}
    assert len(checkpoint) == 1 and (checkpoint == {'random'}) == (key == 'random')
    if row.parts:
        assert all(f'runs/{part}-' in text for part in row.parts)


def test_scenes_are_of_what_identifies_a_result(tmp_path, monkeypatch):
    """Their labels only where they are learned from."""
    monkeypatch.chdir(tmp_path)
    run, seen = run_of(tmp_path), []

    def data(*roots, labels=True):
        seen.append((*roots, labels))
        return ['x']

    monkeypatch.setattr(run.store, 'data', data)
    for name, read in (('vr', {False}), ('s3r', {False}), ('sp', {False, True})):
        evaluate(run, 'b', [name])
        assert set(seen) == {('data/demo/omniaudio_32x128/', labels) for labels in read}


def test_given_weights_are_not_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = run_of(tmp_path, full=True, given=dict(supervised='x.pth'))
    evaluate(run, 'supervised', ['vr'])
    command, = run.steps.commands
    assert 'pretrained.checkpoint=x.pth' in command


def test_tables_have_the_papers_rows():
    assert list(TABLE2A.rows)[:5] == ['random', 'supervised', 'a', 'b', 'c']
    assert [table.default_rows[0] for table in (TABLE2A, TABLE2B, TABLE3)] == ['random'] * 3
    assert sum(bool(ROWS[key].paper) for key in TABLE2B.default_rows) == 12
    assert 'audioset' in TABLE2A.rows and 'audioset' in TABLE2B.rows
    assert sum(bool(ROWS[key].paper) for key in TABLE3.default_rows) == 13
    # Two numbers that the text of the paper repeats.
    assert ROWS['il_b_c_a'].paper == (34.05, 30.32, .1988)
    assert ROWS['a'].paper[2] == .2105


def test_mean_over_seeds_with_the_papers_numbers(tmp_path, capsys):
    for seed, value in enumerate((10., 12., 14.)):
        run = run_of(tmp_path, seed)
        for key in ('il_b_c', 'concat_b_c'):
            for task, values in VALUES.items():
                for name in (task, f'{task}_frozen'):
                    path = run.result(key, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(json.dumps({k: value for k in values}))
        run.result('mtl_b_c', 'vr').write_text(json.dumps(VALUES['vr']))  # one cell alone
    TABLE2B.show(run.out.parent, Console(width=200))
    out = capsys.readouterr().out
    assert 'IL (B+C)' in out and '12.0 ± 5.0' in out and '32.8' in out and '0.2378' in out
    tables = run.out.parent
    text = (tables / 'table2b.md').read_text()
    assert '| No encoder |  | 12.0 ± 5.0 | - | 12.0' in text
    assert ('| Multi-task (B+C) | 3 | - | - | 50.0 ± 0.0 (1) | 12.0 ± 0.0 (1) | - | - | - | - |'
            in text)
    assert len(text.splitlines()) == 3 + 2 * 3
    assert list(json.loads((tables / 'table2b.json').read_text())['il_b_c']['sp']) == [
        'seed0', 'seed1', 'seed2']
    assert (tables / 'table2b.png').stat().st_size > 10_000


def test_bounds(tmp_path, capsys):
    """Better by a factor than nothing, and each of them can fail."""
    worth = dict(random=1., supervised=3., a=1.5, b=3.1, c=1.2)
    run = run_of(tmp_path)

    def write(key, **changes):
        for task in VALUES:
            for name in (task, f'{task}_frozen'):
                metrics = dict(mIoU=6., mAP=5. * worth[key], constant=2., video_top1=3.,
                               video_chance=.5, error=.4, copy_error=.5)
                if name.endswith('_frozen'):
                    metrics.update(mIoU=6. * worth[key], error=.4 / worth[key])
                path = run.result(key, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({**metrics, **changes}))

    out = run.out.parent
    assert sound_bounds(out) == []
    for key in worth:
        write(key)
    every = sound_bounds(out)
    assert len(every) == 5 * 5 + 3 * 2 + 1 and all(b.holds for b in every)
    for changes, broken in ((dict(mIoU=4.), {'B: SP mIoU', 'B, frozen: SP mIoU'}),
                            (dict(mAP=6.5), {'B, frozen: SP average'}),
                            (dict(error=.5), {'B: S3R error', 'B, frozen: S3R error'}),
                            (dict(video_top1=2.5), {'B: VR among'})):
        write('b', **changes)
        failed = [b.title for b in sound_bounds(out) if not b.holds]
        assert failed and {next((t for t in broken if name.startswith(t)), name)
                           for name in failed} == broken
    show_bounds(sound_bounds(out), Console(width=140))
    assert capsys.readouterr().out.count('DOES NOT HOLD') == 1


def test_bounds_are_of_the_means_and_say_in_which_seeds_they_hold(tmp_path, capsys):
    for seed, (b, random) in enumerate(((16., 10.), (12., 10.), (12., 9.), (99., None))):
        run = run_of(tmp_path, seed)
        run.out.mkdir(parents=True)
        run.result('b', 'sp_frozen').write_text(json.dumps(dict(mAP=b)))
        if random:
            run.result('random', 'sp_frozen').write_text(json.dumps(dict(mAP=random)))
    bound, = sound_bounds(run.out.parent)
    assert bound.value.mean == pytest.approx(40 / 3) and bound.holds
    assert bound.limit.mean == pytest.approx(1.3 * 29 / 3)
    assert (bound.held, bound.value.seeds) == (2, 3)  # the last seed has nothing beside it
    show_bounds(sound_bounds(run.out.parent), Console(width=140))
    assert '13.3 ± 5.7' in (out := capsys.readouterr().out) and '2 of 3' in out


def test_full_and_demo_configs_are_the_same_experiment():
    for key, row in ROWS.items():
        name = row.backbone or row.pretrain
        full, demo = (Config.fromfile(tiny.CONFIGS / f'{folder}{name}.py').model
                      for folder in ('sound/', 'sound/demo/'))
        assert full.get('type') == demo.get('type'), key
        for k in ('loss', 'projector', 'temperature', 'distill_weights', 'views'):
            assert full.get(k) == demo.get(k), (key, k)
