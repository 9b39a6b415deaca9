"""The study's rows: models that can be built, and where they start from."""
import argparse

import pytest
import tiny  # noqa: F401  (the registries of mmpretrain)
from mmengine.config import Config
from recorded import RecordedSteps

from multissl_mm.registry import MODELS
from multissl_mm.reproduce import study
from multissl_mm.reproduce.study import ROWS, STUDY_RUNS, StudyRun
from multissl_mm.runtime import load_config
from multissl_mm.runtime.config_keys import check_keys, check_options
from multissl_mm.runtime.options import ConfigOptions


@pytest.mark.parametrize('key', [key for key, row in ROWS.items() if row.options])
def test_every_row_changes_something_that_there_is(key):
    row = ROWS[key]
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=ConfigOptions)
    options = parser.parse_args(['--options', *row.options]).options
    cfg = load_config(f'{tiny.CONFIGS}/demo/{row.pretrain}.py')
    before = Config(cfg._cfg_dict.to_dict())
    check_options(cfg, options)
    cfg.merge_from_dict(options)
    check_keys(cfg)
    assert cfg._cfg_dict.to_dict() != before._cfg_dict.to_dict()
    MODELS.build(cfg.model)


def test_stages_are_as_long_as_the_demos():
    stages = load_config(f'{tiny.CONFIGS}/demo/il_mocov2_densecl.py').train_cfg.stages
    assert stages == [study._SHORT] * 2 and sum(stages) == study._LONG


def test_stage_2_goes_on_from_the_same_m(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = RecordedSteps(tmp_path / 'logs', lambda done: dict(mAP=36.))
    run = StudyRun(ROWS, tmp_path / 'out', steps, 1)
    for key in ('kl', 'nothing', 'rehearsed', 'mtl_long'):
        run.evaluate(key, STUDY_RUNS)
    steps.check_files()
    training = [c for c in steps.commands if 'tools/train.py' in c]
    whole, *later, long = training
    folder = whole.split('--work-dir ')[1].split()[0]
    assert folder.startswith('runs/il_mocov2_densecl-')
    assert all(f'load_from={folder}/stage1_mocov2.pth' in c for c in later) and len(later) == 3
    assert 'train_cfg.stages=[0,12]' in later[0] and 'train_cfg.max_epochs=24' in long
    assert all('data/validation/' in c for c in steps.commands if 'benchmarks' in c)
