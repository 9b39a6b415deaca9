"""Models that are trained with one head and tested with another."""
import json

import pytest
from recorded import RecordedSteps, evaluate
from rich.console import Console

from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce import reproduce_table
from multissl_mm.reproduce.outcomes import last_metrics
from multissl_mm.reproduce.scales import SCALES
from multissl_mm.reproduce.second_head import SECOND_HEAD, TESTED, SecondHeadRun
from multissl_mm.reproduce.sound import ROWS


def leave(done):
    name = done.stem.rpartition('-')[0]
    return dict(mAP=10. if '_second' in name else 20., error=.3, copy_error=.6)


def test_the_same_models_are_tested_with_another_head(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = RecordedSteps(tmp_path / 'logs', leave)
    run = SecondHeadRun(ROWS, tmp_path / 'out', steps, 1, SCALES['demo'])
    for key in ('random', 'b'):
        evaluate(run, key, TESTED)
    steps.check_files()
    tested = [c for c in steps.commands if 'tools/test.py' in c]
    trained = [c for c in steps.commands if 'configs/benchmarks/sound/demo' in c]
    assert len(tested) == len(trained) == 8  # two rows, two tasks, the whole model and frozen
    for test, training in zip(tested, trained):
        folder = training.split('--work-dir ')[1].split()[0]
        assert f'{folder}/final.pth' in test
        assert 'data_root=data/second_head_demo/omniaudio_32x128/' in test
        assert 'splits.test=[1,24]' in test
    found = SECOND_HEAD.show(tmp_path / 'out', Console(quiet=True))
    got = {c.title: found['b'][c.run]['seed1'][c.metric] for c in SECOND_HEAD.columns}
    assert got['SP mAP, frozen'] == 20. and got['SP mAP, frozen, 2nd head'] == 10.


def test_a_model_whose_result_is_kept_alone_is_made_again(tmp_path, monkeypatch):
    """``runs/`` may be removed; the result that is there is not made again for itself."""
    monkeypatch.chdir(tmp_path)
    steps = RecordedSteps(tmp_path / 'logs', leave)
    run = SecondHeadRun(ROWS, tmp_path / 'out', steps, 1, SCALES['demo'])
    evaluate(run, 'random', ['sp'])
    for path in (tmp_path / 'runs').iterdir():
        path.unlink()
    run.result('random', 'sp_second').unlink()
    steps.commands.clear()
    evaluate(run, 'random', ['sp'])
    assert ['tools/test.py' in command for command in steps.commands] == [False, True]


def test_metrics_of_a_test_are_found(tmp_path):
    folder = tmp_path / '20260101_000000'
    folder.mkdir()
    (folder / f'{folder.name}.json').write_text(json.dumps({'sp/mAP': 3., 'time': 1.}))
    assert last_metrics(tmp_path, 'sp/') == dict(mAP=3.)


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quiet = Console(quiet=True)
    with pytest.raises(MultiSSLError, match='omnitone.*fetch.sh head recordings'):
        reproduce_table('second_head', ['random'], scale='smoke', console=quiet)
    with pytest.raises(MultiSSLError, match='not for the scale paper'):
        reproduce_table('second_head', ['random'], scale='paper', console=quiet)
