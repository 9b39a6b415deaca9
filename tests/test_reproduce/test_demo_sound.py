"""The sound demo's commands, table and picture."""
import json

import pytest
import sounds
from recorded import RecordedSteps
from rich.console import Console

from multissl_mm.reproduce import demo_sound

_B, _C = dict(top1=.6), dict(correlation=.5)
SCORES = (dict(b=_B), dict(b=_B, c=_C), dict(b=dict(top1=.4), c=_C, a=dict(top1=.55)))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return sounds.write_scenes(tmp_path_factory.mktemp('scenes'), scenes=1)


def test_table_and_picture(scenes, tmp_path):
    scores = dict(zip(('after stage 1 (B)', 'after stage 2 (C)', 'after stage 3 (A)'), SCORES))
    console = Console(record=True, width=120)
    demo_sound.show(scores, console)
    text = console.export_text()
    assert 'B was learned after stage 1 (B): 0.600; after stage 3 (A): 0.400 (-0.200)' in text
    assert 'guessing' in text and '0.125' in text
    demo_sound.draw(scores, scenes, tmp_path / 'stages.png')
    assert (tmp_path / 'stages.png').stat().st_size > 30_000


def test_what_is_run(scenes, tmp_path, monkeypatch):
    made = []

    def steps(logs, total, console):
        made.append(RecordedSteps(logs, lambda done: dict(enumerate(SCORES))))
        return made[0]

    monkeypatch.setattr(demo_sound, 'Steps', steps)
    monkeypatch.setattr(demo_sound, 'converted', lambda: scenes)
    out = tmp_path / 'out'
    scores = demo_sound.run_sound_demo(out)
    assert list(scores.values()) == json.loads(json.dumps(list(SCORES)))
    made[0].check_files()
    training, scoring = made[0].commands
    assert 'tools/train.py' in training and f'--work-dir {out}/il_b_c_a' in training
    for name in ('stage1_b.pth', 'stage2_c.pth', 'final.pth'):
        assert f'{out}/il_b_c_a/{name}' in scoring
    assert (out / 'stages.png').is_file()
