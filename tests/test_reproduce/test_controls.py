"""The controls of sound would show what they look for."""
import json

import pytest
from recorded import RecordedSteps

from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce import controls, run_sound_controls
from multissl_mm.reproduce.controls import CONTROLS, control_config


def test_controls_change_the_sound_and_nothing_else():
    plain, noise = (control_config(CONTROLS[name]) for name in ('a', 'a_noise'))
    kinds = [[step.type for step in cfg.train_dataloader.dataset.dataset.pipeline]
             for cfg in (plain, noise)]
    assert kinds[1][:2] == ['multissl_mm.LoadClip', 'multissl_mm.SoundToNoise']
    assert [k for k in kinds[1] if not k.endswith('ToNoise')] == kinds[0]
    assert noise.train_cfg == plain.train_cfg and noise.model == plain.model
    ambience = control_config(CONTROLS['c_ambience'])
    assert 'ambience' in ambience.train_dataloader.dataset.dataset.data_root


def test_bounds():
    assert not CONTROLS['a'].missed(dict(train=.9, val=.56))
    assert CONTROLS['a'].missed(dict(train=.9, val=.54))
    assert CONTROLS['b_noise'].missed(dict(train=.25, val=.13))  # read off the background
    assert CONTROLS['c_ambience'].missed(dict(train=.1, val=-.3))
    assert not CONTROLS['c_ambience'].missed(dict(train=.05, val=-.03))


def test_what_is_run_and_what_holds(tmp_path, monkeypatch):
    made = []

    def steps(logs, console):
        made.append(RecordedSteps(logs, lambda done: dict(final=dict(
            a=dict(top1=.5 if 'noise' in str(done) else .6)))))
        return made[0]

    monkeypatch.setattr(controls, 'Steps', steps)
    holds = run_sound_controls(['a', 'a_noise'], tmp_path / 'out', ['train_cfg.max_epochs=3'])
    assert holds == dict(a=True, a_noise=False)
    made[0].check_files()
    trained = [c for c in made[0].commands if 'tools/train.py' in c]
    assert len(trained) == 2
    # A spectrogram that was trained on is scored with, too.
    assert all('--cfg-options train_cfg.max_epochs=3' in c for c in made[0].commands)
    assert json.loads((tmp_path / 'out' / 'scores.json').read_text())['a'] == dict(
        train=.6, val=.6)
    with pytest.raises(MultiSSLError, match='out/a was made with other --cfg-options than none;'):
        run_sound_controls(['a'], tmp_path / 'out')
    with pytest.raises(MultiSSLError, match='there is no control d; there are a, b, c'):
        run_sound_controls(['d'], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_tasks_learn_from_sound_and_nothing_without_it(tmp_path):
    """Half an hour on two cores; the data of ``make demo-sound`` are used where they are."""
    holds = run_sound_controls(out=tmp_path / 'controls')
    assert holds == dict.fromkeys(CONTROLS, True)
