"""What was computed is found again, whichever table asks; what has changed is made again."""
import json
import shutil
from pathlib import Path

import pytest
from recorded import RecordedSteps

from multissl_mm.reproduce import plan as plans
from multissl_mm.reproduce import store as stores
from multissl_mm.reproduce.demo import TRADE_OFF
from multissl_mm.reproduce.pictures import TABLE4, PictureRun
from multissl_mm.reproduce.plan import Plan
from multissl_mm.reproduce.row import Row
from multissl_mm.reproduce.store import Store, deciding, folder_digest
from multissl_mm.utils.files import atomic_path

ROWS = {'m': Row('M', 'mocov2'), 'm_short': Row('M, short', 'mocov2', options=(
    'train_cfg.max_epochs=3', )), 'from_m': Row('M from M', 'mocov2', start='m')}


@pytest.fixture
def steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data/demo/imagenet').mkdir(parents=True)
    (tmp_path / 'data/demo/imagenet/a.jpg').write_text('a')
    return RecordedSteps(tmp_path / 'logs', lambda done: dict(mAP=36.))


def commands(steps, rows=ROWS, keys=('m', ), out='out', seed=0, fresh=False, **kwargs):
    """What is run for the SVM of some rows."""
    steps.commands.clear()
    run = PictureRun(rows, Path(out), steps, seed, **kwargs)
    plan = Plan(run.store, fresh)
    for key in keys:
        run.add(plan, key, ['svm'])
    plan.carry_out(steps)
    return list(steps.commands)


def test_tables_share_what_they_have_in_common(steps):
    """The first stage of IL is M; the demo has both of Table 4's."""
    first = commands(steps, TABLE4.rows, ('mocov2', 'il_mocov2_densecl'), 'table4',
                     asked=[('il_mocov2_densecl', 0)])
    assert len(first) == 3 and sum('train.py' in c for c in first) == 1
    assert sum('/stage1_mocov2.pth' in c for c in first) == 1
    assert commands(steps, TRADE_OFF.rows, ('mocov2', 'il_mocov2_densecl'), 'demo') == []
    demo, table = (json.loads(Path(out, 'seed0/mocov2_svm.json').read_text())
                   for out in ('demo', 'table4'))
    # Settings are what each table calls them: in the demo M is not trained alone.
    assert demo['made'].pop('settings') != table['made'].pop('settings') and demo == table
    # Alone, M needs no IL; and having been trained alone, it goes on being that.
    alone = commands(steps, TABLE4.rows, ('mocov2', ), 'table4', seed=1)
    assert sum('configs/demo/mocov2.py' in c and 'train.py' in c for c in alone) == 1
    later = commands(steps, TABLE4.rows, ('mocov2', 'il_mocov2_densecl'), 'table4', seed=1,
                     asked=[('il_mocov2_densecl', 1)])
    assert len(later) == 2 and not any('stage1' in c for c in later)


def test_what_determines_a_run_is_its_name(steps):
    assert len(commands(steps)) == 2 and commands(steps) == []
    assert len(commands(steps, seed=1)) == 2
    assert len(commands(steps, keys=('m_short', ))) == 2
    there, = (c for c in commands(steps, keys=('from_m', )) if 'train.py' in c)
    assert 'load_from=runs/m-' in there
    same = {'other': ROWS['m']._replace(title='Another name')}
    assert commands(steps, same, ('other', )) == []
    twice = commands(steps, {**ROWS, **same}, ('m', 'other'), seed=2)  # in one plan, too
    assert len(twice) == 2 and Path('out/seed2/other_svm.json').is_file()
    assert len(commands(steps, seed=2)) == 0
    Path('data/demo/imagenet/b.jpg').write_text('b')
    # Other data: a start that was made with them is another start.
    assert sum('train.py' in c for c in commands(steps, keys=('m', 'from_m'))) == 2


def test_what_is_lost_is_made_again_and_nothing_else(steps):
    commands(steps)
    checkpoint, = Path('runs').glob('m-*/final.pth')
    checkpoint.unlink()
    assert commands(steps) == []  # nothing needs it
    metrics, = (path for path in Path('runs').glob('m_svm-*.json') if '.made' not in path.name)
    metrics.unlink()
    assert commands(steps) == []  # the result is there, and of the same settings and data
    Path('out/seed0/m_svm.json').unlink()
    assert len(commands(steps)) == 2
    Path('out/seed0/m_svm.json').unlink()
    assert commands(steps) == [] and Path('out/seed0/m_svm.json').is_file()


def test_results_can_be_kept_without_what_they_were_made_of(steps):
    """So that they can be committed, and later seeds added on another machine."""
    commands(steps)
    shutil.rmtree('runs')
    assert commands(steps) == commands(steps, fresh=True) == []  # of the same code
    assert len(commands(steps, keys=('m', 'm_short'))) == 2
    Path('data/demo/imagenet/b.jpg').write_text('b')
    assert len(commands(steps)) == 2


def test_other_code_is_said_and_made_anew_where_that_is_wanted(steps, monkeypatch):
    commands(steps)
    made = json.loads(Path('out/seed0/m_svm.json').read_text())['made']
    assert made['codes'] == [stores.code_digest()] and made['processor'] and made['threads'] >= 1
    for module in (stores, plans):
        monkeypatch.setattr(module, 'code_digest', lambda: 'other')
    assert commands(steps) == []
    run = PictureRun(ROWS, Path('out'), steps)
    plan = Plan(run.store)
    run.add(plan, 'm', ['svm'])
    assert len(plan.others()) == 2
    assert len(commands(steps, fresh=True)) == 2
    assert commands(steps, fresh=True) == []
    assert json.loads(Path('out/seed0/m_svm.json').read_text())['made']['codes'] == ['other']


def test_settings_are_those_of_all_seeds(steps):
    def settings(keys=('m', ), seed=0, out='out', rows=ROWS, **kwargs):
        commands(steps, rows, keys, out, seed, **kwargs)
        return [json.loads(Path(out, f'seed{seed}', f'{key}_svm.json').read_text())[
            'made']['settings'] for key in keys]

    keys = ('m', 'm_short', 'from_m')
    found = settings(keys)
    assert settings(keys, seed=1) == found and len(set(found)) == 3
    # M alone is M on its way to IL.
    keys, rows = ('mocov2', 'il_mocov2_densecl'), TABLE4.rows
    assert settings(keys[:1], 0, 'table', rows) == settings(
        keys, 1, 'table', rows, asked=[(keys[1], 1)])[:1]
    # Encoders side by side of other seeds are of other settings, and are looked for with them.
    twins = {**rows, **{f'apart_{by}': rows['concat_mocov2_mocov2']._replace(part_seeds=(0, by))
                        for by in (1, 7)}}
    one, = settings(['apart_1'], 0, 'twins', twins)
    assert settings(['apart_1'], 1, 'twins', twins) == [one]
    # Named anew where code names settings in another way than when it was made.
    for made in Path('runs').glob('apart_1_svm-*.made.json'):
        made.write_text(made.read_text().replace(one, 'old'))
    assert settings(['apart_1'], 0, 'twins', twins) == [one]
    renamed = {**twins, 'apart_1': twins['apart_7']}
    assert settings(['apart_1'], 0, 'twins', renamed) != [one]
    Path('data/demo/imagenet/b.jpg').write_text('b')
    assert settings(seed=2) != found[:1]


def test_a_result_of_other_settings_stays_until_there_is_the_new_one(steps):
    commands(steps)
    result = Path('out/seed0/m_svm.json')
    before = result.read_text()
    run = PictureRun({'m': ROWS['m_short']}, Path('out'), steps)
    plan = Plan(run.store)
    run.add(plan, 'm', ['svm'])
    assert len(plan.due()) == 2 and result.read_text() == before
    plan.carry_out(steps)
    assert result.read_text() != before


def test_what_a_random_encoder_hears_and_how_it_is_scored_are_part_of_it(tmp_path):
    config = tmp_path / 'random.py'
    template = "model = dict(backbone=dict(depth=18))\ndata_preprocessor = dict(bands={})\n"
    origins = []
    for bands in (64, 128):
        config.write_text(template.format(bands))
        stores.merged.cache_clear()
        run = PictureRun({}, tmp_path / 'out', None)
        origins.append(run._untrained(str(config), None, 'random').origin)
    assert origins[0] != origins[1]

    template = ("train_dataloader = dict(dataset=dict(type='A', ann_file='{}'))\n"
                "val_dataloader = dict(dataset=dict(type='B'))\nval_evaluator = dict(type='{}')\n")
    found = []
    for names in (('a', 'mIoU'), ('b', 'mIoU'), ('a', 'mAP')):
        config.write_text(template.format(*names))
        stores.merged.cache_clear()
        found.append(deciding(str(config)))
    assert found[0] != found[1] and found[0] != found[2]


def test_of_equal_things_the_finished_one_is_taken(tmp_path):
    store = Store(tmp_path)
    short = store.named('z', 0, 'same').identity
    (tmp_path / f'a-{short}').mkdir()  # begun under another name at the same time
    (tmp_path / f'z-{short}').mkdir()
    assert Store(tmp_path).named('b', 0, 'same').name == f'a-{short}'
    (tmp_path / f'z-{short}.made.json').write_text('{"date": "today"}')
    assert Store(tmp_path).named('b', 0, 'same').name == f'z-{short}'


def test_results_of_earlier_versions_are_taken_as_they_are(steps):
    old = Path('out/seed0/m_svm.json')
    old.parent.mkdir(parents=True)
    old.write_text('{"mAP": 12}')
    assert commands(steps) == [] and old.read_text() == '{"mAP": 12}'
    assert len(commands(steps, fresh=True)) == 2 and 'made' in json.loads(old.read_text())


def test_data_that_were_made_anew_are_noticed(tmp_path):
    assert folder_digest(str(tmp_path / 'none')) == 'absent'
    for name in 'ab':
        (tmp_path / name).write_bytes(bytes(20_000))
    before = folder_digest(str(tmp_path))
    assert folder_digest(str(tmp_path)) == before
    (tmp_path / 'a').write_bytes(bytes(10_000) + b'x' + bytes(9_999))  # as long as before
    assert folder_digest(str(tmp_path)) != before
    (tmp_path / 'c').write_text('as it begins' + 50 * ' ')
    before = folder_digest(str(tmp_path))
    (tmp_path / 'c').write_text('as it began ' + 50 * ' ')
    assert folder_digest(str(tmp_path)) != before
    before = folder_digest(str(tmp_path))
    (tmp_path / '.state.json').write_text('when, not what')
    assert folder_digest(str(tmp_path)) == before
    store = Store(tmp_path / 'runs')
    assert store.named('x', 0, 'y').name != store.named('x', 1, 'y').name


def test_data_behind_links_are_noticed(tmp_path):
    """As on machines where data are shared; a link to nothing stopped every command."""
    root, elsewhere = tmp_path / 'root', tmp_path / 'elsewhere'
    root.mkdir(), elsewhere.mkdir()
    empty = folder_digest(str(root))
    (root / 'train').symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / 'a.jpg').write_bytes(b'a picture')
    (elsewhere / 'again').symlink_to(root, target_is_directory=True)  # round and round
    before = folder_digest(str(root))
    (elsewhere / 'a.jpg').write_bytes(b'b picture')
    assert len({empty, before, folder_digest(str(root))}) == 3
    (root / 'dead.jpg').symlink_to(tmp_path / 'nowhere')
    assert folder_digest(str(root)) == folder_digest(str(root))


def test_a_torn_file_is_no_name(tmp_path):
    """It was that of the whole store, where the next training went, and which --fresh removed."""
    store = Store(tmp_path)
    what = store.named('m', 0, 'x')
    with pytest.raises(KeyboardInterrupt), atomic_path(what.made) as part:
        part.write_text('{}')
        shutil.copy(part, left := tmp_path / f'{part.name[:-7]}left.partial')  # as of a kill
        raise KeyboardInterrupt
    assert left.name.startswith('.m-') and left.exists()
    assert Store(tmp_path).named('m', 0, 'x') == what
    assert Store(tmp_path).named('other', 0, 'x').name == f'other-{what.identity}'


@pytest.mark.parametrize('links', [True, False])
def test_what_another_command_made_meanwhile_is_taken(tmp_path, monkeypatch, links):
    """Two tables have the same encoder under two names, which each chose when it began."""
    mine, theirs = (Store(tmp_path).named(key, 0, 'x') for key in ('mtl', 'mtl_b_c_a'))
    store, code = Store(tmp_path), stores.code_digest()
    theirs.path.mkdir()
    (theirs.path / 'final.pth').write_text('theirs')
    theirs.json.write_text('{}')
    theirs.made.write_text(json.dumps(dict(code=code)))
    store.adopt(mine)
    assert not mine.path.exists()  # it is not finished
    theirs.made.write_text(json.dumps(dict(code='other', date='now')))
    store.adopt(mine)
    assert not mine.path.exists()
    theirs.made.write_text(json.dumps(dict(code=code, date='now')))
    if not links:
        def no_links(*args, **kwargs):
            raise OSError
        monkeypatch.setattr(Path, 'symlink_to', no_links)
    store.adopt(mine)
    assert mine.path.exists() == mine.json.exists() == mine.finished == links
    if links:
        assert (mine.path / 'final.pth').read_text() == 'theirs'
        shutil.rmtree(theirs.path)
        mine.made.unlink()
        store.adopt(mine)
        assert not mine.path.is_symlink()  # in whose place nothing could be made
        theirs.path.mkdir()
        mine.json.unlink(missing_ok=True)
        store.adopt(mine)
        mine.remove()
        assert not mine.path.exists() and theirs.path.is_dir()
