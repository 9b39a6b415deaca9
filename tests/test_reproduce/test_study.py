"""The study's rows: models that can be built, and where they start from."""
import re

import pytest
import tiny  # noqa: F401  (the registries of mmpretrain)
import torch
from mmengine.runner.checkpoint import load_state_dict
from recorded import RecordedSteps, evaluate

from multissl_mm.registry import MODELS
from multissl_mm.reproduce import study
from multissl_mm.reproduce.pictures import TABLE4
from multissl_mm.reproduce.plan import Plan
from multissl_mm.reproduce.scales import SCALES
from multissl_mm.reproduce.sound import TABLE2A
from multissl_mm.reproduce.sound_study import (
    SOUND_ROWS,
    SOUND_STUDY,
    SOUND_STUDY_RUNS,
    SoundStudyRun,
)
from multissl_mm.reproduce.store import merged
from multissl_mm.reproduce.study import ROWS, STUDY_RUNS, StudyRun
from multissl_mm.runtime import load_config
from multissl_mm.runtime.config_keys import check_keys

CHANGED = [pytest.param(folder, rows, key, id=f'{folder}-{key}')
           for folder, rows in (('demo', ROWS), ('sound/demo', SOUND_ROWS))
           for key, row in rows.items() if row.options]


def config_of(folder, row):
    """Before and after the row's options."""
    name = f'{tiny.CONFIGS}/{folder}/{row.pretrain}.py'
    cfg = merged(name, row.options)
    check_keys(cfg)
    return merged(name, ()), cfg


@pytest.mark.parametrize('folder, rows, key', CHANGED)
def test_every_row_changes_something_that_there_is_and_fits_what_it_starts_from(folder, rows, key):
    row = rows[key]
    before, cfg = config_of(folder, row)
    assert cfg._cfg_dict.to_dict() != before._cfg_dict.to_dict()
    for scheduler in cfg.param_scheduler if 'stages' in cfg.train_cfg else ():
        stages = [n for n in cfg.train_cfg.stages if n]
        assert scheduler.get('periods', stages) in (stages, [sum(stages)])  # as the loop asks
    model = MODELS.build(cfg.model)
    if row.start:
        start = rows[row.start]
        whole = rows[start.within[0]] if start.within else start
        weights = MODELS.build(config_of(folder, whole)[1].model).state_dict()
        load_state_dict(model, weights)  # as MMEngine does
        assert all(torch.equal(value, weights[name])
                   for name, value in model.state_dict().items() if name in weights)


@pytest.mark.parametrize('folder, row', [
    ('demo', ROWS['one_cosine']), ('sound/demo', SOUND_ROWS['one_cosine'])])
@pytest.mark.parametrize('scale', ['smoke', 'study'])
def test_one_period_is_as_long_as_the_stages_at_every_scale(folder, row, scale):
    name = f'{tiny.CONFIGS}/{folder}/{row.pretrain}.py'
    cfg = merged(name, row.options + SCALES[scale].lengths(merged(name, row.options)))
    assert cfg.param_scheduler[0].periods == [sum(cfg.train_cfg.stages)]


def test_stages_are_as_long_as_the_demos():
    stages = load_config(f'{tiny.CONFIGS}/demo/il_mocov2_densecl.py').train_cfg.stages
    assert stages == [study._SHORT] * 2 and sum(stages) == study._LONG


def folder_of(training):
    return training.split('--work-dir ')[1].split()[0]


def test_stage_2_goes_on_from_the_same_m(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = RecordedSteps(tmp_path / 'logs', lambda done: dict(mAP=36.))
    run = StudyRun(ROWS, tmp_path / 'out', steps, 1)
    for key in ('kl', 'nothing', 'rehearsed', 'mtl_long', 'averaged_nothing'):
        evaluate(run, key, STUDY_RUNS)
    steps.check_files()
    mean, = (c for c in steps.commands if 'average_backbones.py' in c)
    kept = next(c for c in steps.commands if 'distill_weights=0.' in c)
    assert mean.endswith(f'{folder_of(kept)}/final.pth') and '/stage1_mocov2.pth ' in mean
    training = [c for c in steps.commands if 'tools/train.py' in c]
    whole, *later, long = training
    folder = folder_of(whole)
    assert folder.startswith('runs/il_mocov2_densecl-')
    assert all(f'load_from={folder}/stage1_mocov2.pth' in c for c in later) and len(later) == 3
    assert 'train_cfg.stages=[0,12]' in later[0] and 'train_cfg.max_epochs=24' in long
    assert all('data/validation/' in c for c in steps.commands if 'benchmarks' in c)


def test_sound_goes_on_from_the_same_b_and_is_measured_on_scenes_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = RecordedSteps(tmp_path / 'logs', lambda done: dict(mAP=36., error=.3))
    run = SoundStudyRun(SOUND_ROWS, tmp_path / 'out', steps, 1)
    for key in SOUND_STUDY.default_rows:
        evaluate(run, key, SOUND_STUDY_RUNS)
    steps.check_files()
    whole = next(c for c in steps.commands if '--work-dir runs/il_b_c_a-' in c)
    first = f'load_from={folder_of(whole)}/stage1_b.pth'
    training = [c for c in steps.commands if 'configs/sound/demo' in c.split()[1]]
    assert sum(first in c for c in training) == sum(
        row.start == 'b' for row in SOUND_ROWS.values()) > 9
    evaluated = [c for c in steps.commands if 'configs/benchmarks' in c]
    assert len(evaluated) == 3 * len(SOUND_STUDY.default_rows)
    assert all(('model.frozen=True' in c) != ('/vr.py' in c) for c in evaluated)
    assert all(c.count('data/validation/omniaudio_32x128/') == 3 for c in evaluated)


def epochs(folder, rows, key, run):
    """Of a row's encoder, with those of what it starts from or is made of."""
    row = rows[key]
    if row.as_long_as:  # as it is run
        command = ' '.join(run._training(Plan(run.store), key, 0).command)
        return int(re.search(r'train_cfg.max_epochs=(\d+)', command)[1])
    if row.within:  # the first stage of another row
        return config_of(folder, rows[row.within[0]])[1].train_cfg.stages[0]
    found = 0
    if row.pretrain:
        loop = config_of(folder, row)[1].train_cfg
        found = sum(loop.get('stages') or [loop.max_epochs])
    parts = [epochs(folder, rows, part, run) for part in row.parts]
    # What is averaged goes on from one another.
    return found + (max(parts) if row.average else sum(parts)) + (
        epochs(folder, rows, row.start, run) if row.start else 0)


@pytest.mark.parametrize('folder, rows, others, kind', [
    ('demo', ROWS, TABLE4.rows, StudyRun), ('sound/demo', SOUND_ROWS, TABLE2A.rows, SoundStudyRun)])
def test_rows_are_as_long_as_il_or_say_so(folder, rows, others, kind, tmp_path):
    every = {**others, **rows}
    run = kind(every, tmp_path / 'out', RecordedSteps(tmp_path / 'logs', lambda done: {}))
    il = next(key for key in rows if key.startswith('il_'))
    whole = epochs(folder, every, il, run)
    assert whole == {'demo': 24, 'sound/demo': 38}[folder]
    long = {key: length for key in rows if (length := epochs(folder, every, key, run)) != whole}
    assert len(long) < len(rows) / 4 and set(long) == {'random', *(
        key for key in rows if re.search('half as long|16 of 38|as long as that|epochs with',
                                         rows[key].title))}
    assert all(f'{length} ' in rows[key].title for key, length in long.items()
               if 'epochs with' in rows[key].title)
