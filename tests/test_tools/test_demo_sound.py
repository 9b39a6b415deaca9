"""The sound demo's table and picture; and that the controls would show what they look for."""
import json

import pytest
import sounds
from rich.console import Console

demo = sounds.tool('demo_sound.py')
controls = sounds.tool('benchmarks/sound_controls.py')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return sounds.write_scenes(tmp_path_factory.mktemp('scenes'), scenes=1)


def test_table_and_picture(scenes, tmp_path, monkeypatch):
    b, c, a = dict(top1=.6), dict(correlation=.5), dict(top1=.55)
    scores = {'after stage 1 (B)': dict(b=b), 'after stage 2 (C)': dict(b=b, c=c),
              'after stage 3 (A)': dict(b=dict(top1=.4), c=c, a=a)}
    console = Console(record=True, width=120)
    demo.show(scores, console)
    text = console.export_text()
    assert 'B was learned after stage 1 (B): 0.600; after stage 3 (A): 0.400 (-0.200)' in text
    assert 'guessing' in text and '0.125' in text
    monkeypatch.setattr(demo, 'CONVERTED', scenes)
    demo.draw(scores, tmp_path / 'stages.png')
    assert (tmp_path / 'stages.png').stat().st_size > 30_000


def test_controls_change_the_sound_and_nothing_else():
    plain, noise = (controls.config_of(controls.ROWS[name], 3) for name in ('a', 'a_noise'))
    kinds = [[step.type for step in cfg.train_dataloader.dataset.dataset.pipeline]
             for cfg in (plain, noise)]
    assert kinds[1][:2] == ['multissl_mm.LoadClip', 'multissl_mm.SoundToNoise']
    assert [k for k in kinds[1] if not k.endswith('ToNoise')] == kinds[0]
    assert noise.train_cfg.max_epochs == 3 and noise.model == plain.model
    ambience = controls.config_of(controls.ROWS['c_ambience'], 0)
    assert 'ambience' in ambience.train_dataloader.dataset.dataset.data_root


def test_bounds():
    rows = controls.ROWS
    assert not controls.missed(rows['a'], dict(train=.9, val=.56))
    assert controls.missed(rows['a'], dict(train=.9, val=.54))
    assert controls.missed(rows['b_noise'], dict(train=.25, val=.13))  # read off the background
    assert controls.missed(rows['c_ambience'], dict(train=.1, val=-.3))
    assert not controls.missed(rows['c_ambience'], dict(train=.05, val=-.03))


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_tasks_learn_from_sound_and_nothing_without_it(tmp_path, monkeypatch):
    """Half an hour on two cores; the data of ``make demo-sound`` are used where they are."""
    out = tmp_path / 'controls'
    monkeypatch.setattr('sys.argv', ['sound_controls.py', '--out', str(out)])
    controls.main()  # exits with 1 if a bound is missed
    assert set(json.loads((out / 'scores.json').read_text())) == set(controls.ROWS)
