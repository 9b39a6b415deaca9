"""The demo: its commands, table and picture."""
import json

import pytest
from recorded import RecordedSteps

from multissl_mm.reproduce import demo
from multissl_mm.reproduce.results import Column


@pytest.fixture
def commands(monkeypatch):
    """Of a demo that is not run."""
    made = []

    def steps(logs, total, console):
        made.append(RecordedSteps(logs, lambda done: {
            column.metric: 10. for column in demo.COLUMNS if done.stem.endswith(column.run)}))
        return made[0]

    monkeypatch.setattr(demo, 'Steps', steps)
    return made


def test_what_is_run_and_what_is_left(commands, tmp_path):
    found = demo.run_demo(tmp_path / 'out')
    steps, = commands
    steps.check_files()
    run = tmp_path / 'out' / 'il_mocov2_densecl'
    assert f'--work-dir {run}' in steps.commands[0]
    assert len(steps.commands) == 10  # a pretraining, and three evaluations of three backbones
    for tool in ('voc07_svm', 'linear_segmentation'):
        evaluated = {c.split(' ')[2] for c in steps.commands if tool in c}
        assert evaluated == {'random', str(run / 'stage1_mocov2.pth'), str(run / 'final.pth')}
    assert {key: list(runs) for key, runs in found.items()} == dict.fromkeys(
        ('random', 'stage1', 'il'), ['svm', 'segmentation', 'mask_rcnn'])
    assert json.loads((tmp_path / 'out' / 'trade_off.json').read_text()) == found
    assert '| IL M -> D | 1 | 10.0 | 10.0 |' in (tmp_path / 'out' / 'trade_off.md').read_text()
    assert (tmp_path / 'out' / 'trade_off.png').stat().st_size > 10_000
    assert all(isinstance(column, Column) for column in demo.TRADE_OFF.columns)
