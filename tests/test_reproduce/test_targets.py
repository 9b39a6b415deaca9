"""All that can be asked for: sizes, jobs for a cluster, and the smallest of it in earnest."""
import re
import shlex
import sys
from itertools import accumulate
from pathlib import Path

import products
import pytest
import tiny
from mmengine.config import Config
from recorded import RecordedSteps
from rich.console import Console

from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce import TABLES, TARGETS, reproduce_table, tables
from multissl_mm.reproduce.pictures import TABLE4, PictureRun
from multissl_mm.reproduce.plan import Plan
from multissl_mm.reproduce.rows import checkpoints
from multissl_mm.reproduce.scales import FASHION_MNIST, SCALES
from multissl_mm.reproduce.sound import GIVEN_AT, ROWS, SoundRun
from multissl_mm.reproduce.store import merged
from multissl_mm.simulation.products import PRODUCTS
from multissl_mm.utils.project import project_file


def planned(kind, rows, folder, scale, keys, **kwargs):
    steps = RecordedSteps(folder / 'logs', lambda done: {})
    run = kind(rows, folder / 'out', steps, 0, scale, **kwargs)
    plan = Plan(run.store)
    for key in keys:
        run.add(plan, key, [column.run for column in TABLE4.columns] if kind is PictureRun else
                ('sp', 'vr', 's3r'))
    plan.carry_out(steps)
    steps.check_files()
    return steps.commands


def test_every_table_begins_with_random_and_has_controls():
    for table in TABLES.values():
        assert table.default_rows[0] == 'random', table.name
        if not table.name.startswith('affinity'):
            assert any('long' in key for key in table.default_rows), table.name
    assert {'table2a', 'table2b', 'table3', 'table4', 'figure1b', 'figure3', 'affinity', 'study',
            'all'} <= set(TARGETS)


def test_stages_end_where_a_checkpoint_is_kept():
    """Of the configs as they are, and at every scale: else a run refuses to begin."""
    for path in sorted((tiny.CONFIGS / 'sound/demo').glob('[ip]*_*.py')):
        cfg = Config.fromfile(path)
        ends = list(accumulate(cfg.train_cfg.stages))[:-1]
        assert not any(end % cfg.default_hooks.checkpoint.interval for end in ends), path
    config = project_file('configs/demo/il_mocov2_densecl.py')
    options = ('train_cfg.stages=[6,18]', )
    assert checkpoints(merged(config, options)) == ['default_hooks.checkpoint.interval=2']
    assert checkpoints(merged(config, ())) == []


def test_a_scale_changes_lengths_and_data_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = planned(PictureRun, TABLE4.rows, tmp_path / 'study', SCALES['study'],
                       ('il_mocov2_densecl', 'mtl_long'), asked=[('il_mocov2_densecl', 0)])
    il, mtl = (next(c for c in commands if f'configs/demo/{name}.py' in c and 'train.py' in c)
               for name in ('il_mocov2_densecl', 'mtl_mocov2_densecl'))
    assert 'train_cfg.stages=[24,24]' in il and 'train_cfg.max_epochs=48' in mtl
    assert all(c.count('data/study/') >= 1 and 'data/demo' not in c for c in commands)
    smoke = planned(SoundRun, ROWS, tmp_path / 'smoke', SCALES['smoke'],
                    ('il_b_c_a', 'b_long_b_c_a'))
    il = next(c for c in smoke if 'configs/sound/demo/il_b_c_a.py' in c and 'train.py' in c)
    assert 'train_cfg.stages=[1,1,1]' in il and 'default_hooks.checkpoint.interval=1' in il
    assert 'splits.train=[1,6]' in il and 'splits.val=[7,10]' in il
    assert any('train_cfg.max_epochs=3 ' in f'{c} ' for c in smoke)
    assert all('data/smoke/omniaudio_32x128/' in c for c in smoke)


@pytest.mark.parametrize('scale, stages', [
    ('demo', '6,18'), ('study', '12,36'), ('paper', '100,300')])
def test_stages_have_other_shares_of_as_many_epochs(tmp_path, monkeypatch, scale, stages):
    monkeypatch.chdir(tmp_path)
    commands = planned(PictureRun, TABLE4.rows, tmp_path, SCALES[scale],
                       ('il_short_mocov2_densecl', ))
    assert f'train_cfg.stages=[{stages}]' in next(c for c in commands if 'train.py' in c)


def test_jobs_for_a_cluster(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, 'picture_data', lambda steps, *args: steps.console.print('data'))
    console = Console(record=True, width=400)
    reproduce_table('table4', ['concat_mocov2_mocov2', 'concat_mocov2_densecl'], seeds=[0, 1],
                    jobs=4, scale='study', printed=True, console=console)
    lines = console.export_text().splitlines()
    known = []
    for line in lines[:-1]:
        name, _, command = line.partition('=')
        after = [word for word in shlex.split(command[2:-1]) if 'afterok' in word]
        needed = after[0].partition('afterok:')[2].replace('$', '').split(':') if after else []
        assert set(needed) <= set(known), line  # printed before
        known.append(name)
        assert '--scale study' in line
    assert sorted(known) == sorted([
        'mocov2_0', 'mocov2_1', 'mocov2_100', 'mocov2_101', 'densecl_0', 'densecl_1',
        'concat_mocov2_mocov2_0', 'concat_mocov2_mocov2_1', 'concat_mocov2_densecl_0',
        'concat_mocov2_densecl_1'])
    # What was not asked for is trained alone.
    assert all(('--downstream none' in line) == ('concat' not in line.partition('=')[0])
               for line in lines[:-1])
    assert lines[-1].startswith('# when they are through: ') and '--report' in lines[-1]
    assert not list(Path('work_dirs').glob('runs/*'))


def test_jobs_with_the_same_encoder_wait_for_each_other(tmp_path, monkeypatch):
    """Both at once, as they were, one trained again what the other had begun, or failed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, 'sound_data', lambda *args, **kwargs: None)
    console = Console(record=True, width=400)
    reproduce_table('table3', ['b_long_b_c', 'b_long_b_a', 'c_long_b_c'], printed=True,
                    console=console)
    jobs = dict(line.split('=', 1) for line in console.export_text().splitlines()[:-1])
    assert list(jobs) == ['b_long_b_c_0', 'b_long_b_a_0', 'c_long_b_c_0']
    assert '--dependency=afterok:$b_long_b_c_0 ' in jobs['b_long_b_a_0']
    assert '--dependency' not in jobs['c_long_b_c_0']


@pytest.mark.parametrize('name', list(TARGETS))
def test_jobs_of_everything(tmp_path, monkeypatch, name):
    """Table 3 has no row of B alone, which its encoders are made of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, '_data', lambda *args: None)
    console = Console(record=True, width=400)
    reproduce_table(name, printed=True, console=console)
    known = set()
    for line in console.export_text().splitlines()[:-1]:
        job, _, command = line.partition('=')
        words = shlex.split(shlex.split(command[2:-1])[-1].partition('=')[2])
        assert words[4] in TABLES[words[2]].rows and words[3] == '--rows', line
        after = re.findall(r'afterok:(\S+)', line)
        assert {word[1:] for word in after and after[0].split(':')} <= known, line
        known.add(job)
    assert known


def test_weights_of_others_are_in_tables_once_they_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, 'sound_data', lambda *args, **kwargs: None)

    def jobs(name, *rows):
        console = Console(record=True, width=400)
        reproduce_table(name, rows, ['sp'], printed=True, console=console)
        return [line.split('=')[0] for line in console.export_text().splitlines()[:-1]]

    without = 'without the row audioset: data/evidence/yamnet.pth is not there'
    assert 'audioset_0' not in jobs('table2a') and without in capsys.readouterr().err
    assert jobs('table2a', 'a') == ['a_0'] and without not in capsys.readouterr().err
    weights = tmp_path / GIVEN_AT['audioset']
    weights.parent.mkdir(parents=True)
    weights.write_text('weights')
    assert 'audioset_0' in jobs('table2a') and without not in capsys.readouterr().err
    assert jobs('table2a', 'audioset') == ['audioset_0']
    assert 'audioset_0' not in jobs('table3')  # which has no such row


def test_checkpoints_are_of_the_row_that_takes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('sound_data', 'picture_data'):
        monkeypatch.setattr(tables, name, lambda *args, **kwargs: None)
    weights = tmp_path / GIVEN_AT['audioset']
    weights.parent.mkdir(parents=True)
    weights.write_text('weights')

    def given(name, *rows):
        console = Console(record=True, width=400)
        reproduce_table(name, rows, ['none'], checkpoint='mine.pth', printed=True, console=console)
        return [line.split('=')[0] for line in console.export_text().splitlines()
                if '--checkpoint mine.pth' in line]

    assert given('table4') == ['detco_0'] and given('table2b') == ['audioset_0']
    assert given('table2a', 'audioset', 'supervised') == ['audioset_0']
    assert given('table2a', 'supervised') == ['supervised_0']


def test_nothing_is_done_for_the_other_subject(tmp_path, monkeypatch):
    """``all --downstream svm`` trained everything of sound, and evaluated nothing."""
    monkeypatch.chdir(tmp_path)
    looked = []
    monkeypatch.setattr(tables, '_data', lambda group, *args: looked.append(group.kind))

    def jobs(**arguments):
        looked.clear()
        console = Console(record=True, width=400)
        reproduce_table('all', printed=True, console=console, **arguments)
        return [line.split('=')[0] for line in console.export_text().splitlines()[:-1]]

    assert 'b_0' not in jobs(downstream=['svm']) and looked == [PictureRun]
    assert 'b_0' in jobs(downstream=['none']) and looked == [SoundRun, PictureRun]
    assert jobs(rows=['b'], downstream=['sp']) == ['b_0'] and looked == [SoundRun]
    assert jobs(rows=['b']) == ['b_0'] and looked == [SoundRun]
    console = Console(record=True, width=400)
    reproduce_table('all', ['random'], ['svm', 'vr'], printed=True, console=console)
    assert re.findall('--downstream (\\w+)', console.export_text()) == ['vr', 'svm']


def test_jobs_run_this_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tables, '_data', lambda *args: None)

    def python():
        console = Console(record=True, width=400)
        reproduce_table('table4', ['random'], printed=True, console=console)
        return shlex.split(console.export_text().splitlines()[-1].split(': ')[1])[0]

    for folder in ('here', 'there'):
        (tmp_path / folder).mkdir()
        for name in ('python', 'python3'):
            (tmp_path / folder / name).symlink_to(sys.executable)
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'here' / 'python3'))
    for folder, command in (('here', 'python'), ('there', sys.executable), ('', sys.executable)):
        monkeypatch.setenv('PATH', str(tmp_path / folder))
        assert python() == command
    (tmp_path / 'here' / 'python').unlink()
    (tmp_path / 'here' / 'python').symlink_to('/bin/sh')  # as if of another version
    monkeypatch.setenv('PATH', str(tmp_path / 'here'))
    assert python() == sys.executable


def test_products_are_in_every_step_and_have_their_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = planned(PictureRun, TABLE4.rows, tmp_path / 'products',
                       SCALES['demo'].of_products(), ('supervised', 'concat_mocov2_densecl'))
    assert all('data/products_demo/' in c and 'data/demo/' not in c for c in commands
               if 'concat_backbones' not in c)
    trained = {re.search(r'demo/([\w-]+)[.]py', c)[1]: c for c in commands if 'train.py' in c}
    for name in ('supervised', 'mask-rcnn_r18_fpn_coco', 'mask-rcnn_concat-r18_fpn_coco'):
        options = shlex.split(trained[name].partition('--cfg-options ')[2])
        cfg = merged(project_file(f'configs/demo/{name}.py'), tuple(options))
        dataset = cfg.train_dataloader.dataset
        assert tuple(dataset.get('dataset', dataset).metainfo.classes) == PRODUCTS
        heads = [cfg.model.head] if name == 'supervised' else [
            cfg.model.roi_head.bbox_head, cfg.model.roi_head.mask_head]
        assert [head.num_classes for head in heads] == [10] * len(heads)
    assert tuple(cfg.val_dataloader.dataset.metainfo.classes) == PRODUCTS


def test_products_in_earnest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    products.write(tmp_path / FASHION_MNIST)
    found = reproduce_table('table4', ['supervised'], ['segmentation'], scale='smoke',
                            scenes='products', console=Console(quiet=True))
    assert found['supervised']['segmentation']['seed0']['mAP'] > 0
    assert 'Photographs of products' in Path(
        'work_dirs/table4_products_smoke/table4.html').read_text()


@pytest.mark.parametrize('arguments, message', [
    (dict(scenes='products', full=True), 'not for the scale paper'),
    (dict(scenes='products'), 'fetch.sh products fetches'),
    (dict(scale='study', full=True), '--full is --scale paper'),
    (dict(downstream=['none', 'sp']), 'no downstream task sp')])
def test_what_does_not_fit_is_refused(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MultiSSLError, match=message):
        reproduce_table('table4', out=tmp_path / 'out', **arguments)


@pytest.mark.timeout(1800)  # starts processes, on a machine that may have other work
def test_smoke_in_earnest_and_a_second_time_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = dict(rows=['random', 'mocov2'], downstream=['svm'], scale='smoke', jobs=2)
    found = reproduce_table('table4', console=Console(quiet=True), **arguments)
    assert 0 < found['mocov2']['svm']['seed0']['mAP'] < 100
    made = found['mocov2']['svm']['seed0']['made']
    assert made['cost']['samples'] == 64 and made['seconds'] > 0 and len(made['codes']) == 1
    assert (tmp_path / 'work_dirs/table4_smoke/table4.html').is_file()
    assert (tmp_path / 'work_dirs/table4_smoke/seed0/mocov2/final.pth').is_file()
    console = Console(record=True, width=200)
    monkeypatch.setattr(tables, 'picture_data', lambda *args: None)
    reproduce_table('table4', console=console, **arguments)
    assert '0 of 3 steps have to be made' in console.export_text()


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize('name', ['table4', 'table2b'])
def test_smoke_of_a_whole_table(tmp_path, monkeypatch, name):
    """More rows than ``make smoke`` has, and sound."""
    monkeypatch.chdir(tmp_path)
    found = reproduce_table(name, scale='smoke', jobs=2)
    assert list(found) == list(TABLES[name].default_rows)
