"""The demo: its commands, table and picture."""
import json
from io import StringIO
from pathlib import Path

import pytest
from recorded import RecordedSteps
from rich.console import Console

from multissl_mm.reproduce import demo
from multissl_mm.reproduce.pictures import MASK_RCNN


@pytest.fixture
def commands(monkeypatch):
    """Of a demo that is not run."""
    made = []

    def steps(logs, console, jobs):
        assert jobs >= 1
        made.append(RecordedSteps(logs, lambda done: {
            column.metric: 10. for column in demo.COLUMNS if f'_{column.run}-' in done.stem}))
        made[0].console = console or made[0].console
        return made[0]

    monkeypatch.setattr(demo, 'Steps', steps)
    return made


def test_what_is_run_and_what_is_left(commands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(file=StringIO(), width=200)
    found = demo.run_demo(tmp_path / 'out', console, seed=1)
    steps, = commands
    steps.check_files()
    run = tmp_path / 'out' / 'seed1'
    trained = [c.split('--work-dir ')[1].split()[0] for c in steps.commands if 'train.py' in c]
    names = {Path(path).name.rpartition('-')[0]: path for path in trained}
    assert sorted(names) == ['densecl', 'il_mocov2_densecl', 'il_mocov2_densecl_mask_rcnn',
                             'mtl_long', 'random_mask_rcnn']
    assert {Path(path).parent for path in trained} == {Path('runs')}
    assert all('randomness.seed=1' in c for c in steps.commands if 'train.py' in c)
    long, = (c for c in steps.commands if f'{names["mtl_long"]} --cfg' in c)
    assert 'train_cfg.max_epochs=24' in long  # as many as both stages of IL
    weights = {'random', f'{names["il_mocov2_densecl"]}/stage1_mocov2.pth', *(
        f'{names[name]}/final.pth' for name in ('il_mocov2_densecl', 'densecl', 'mtl_long'))}
    assert (run / 'densecl' / 'final.pth').is_file()  # under its name, too
    for tool in ('voc07_svm', 'linear_segmentation'):
        assert {c.split(' ')[2] for c in steps.commands if tool in c} == weights
    assert list(found) == list(demo.TRADE_OFF.rows)
    assert {key for key, runs in found.items() if MASK_RCNN in runs} == set(demo.DETECTED)
    assert json.loads((tmp_path / 'out' / 'trade_off.json').read_text()) == found
    assert '| IL (M+D) | 1 | 10.0 (1) | 10.0 (1) |' in (
        tmp_path / 'out' / 'trade_off.md').read_text()
    assert (tmp_path / 'out' / 'trade_off.png').stat().st_size > 10_000
    said = console.file.getvalue()
    # All is 10 here, so that no bound holds, and the one who runs it is told so.
    assert said.count('DOES NOT HOLD') == 7 and 'IL: SVM mAP at least 5 above random' in said
