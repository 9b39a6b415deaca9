"""The steps that long work is made of."""
import sys

import pytest
from recorded import python_step
from rich.console import Console

from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce import Steps
from multissl_mm.reproduce.plan import Plan
from multissl_mm.reproduce.steps import sign_of_life
from multissl_mm.reproduce.store import Store


def test_lines_of_a_log_become_signs_of_life():
    line = ('11/23 02:11:18 - mmengine - INFO - Epoch(train)  [9][40/46]  lr: 6.0e-02  '
            'eta: 0:04:14  time: 0.5  data_time: 0.0  loss: 5.9  densecl.loss_dense: 2.56  '
            'mocov2.loss_distill: 0.0135')
    assert sign_of_life(line) == ('train epoch 9 step 40/46, eta 0:04:14  densecl.loss_dense 2.56'
                                  '  mocov2.loss_distill 0.0135')
    line = '... - mmengine - INFO - stage 1 (mocov2) is finished'
    assert sign_of_life(line).startswith('stage 1')
    assert sign_of_life('features, cpu ━━━━━━ 100% 0:00:02\n') == 'features, cpu 100% 0:00:02'
    assert sign_of_life('11/23 02:55:41 - mmengine - INFO - Exp name: x_20261123') is None


def test_hours_to_go_are_said(tmp_path):
    console = Console(record=True, width=100)
    steps = Steps(tmp_path, console=console)
    steps.run('data', 'x', '-c', '')
    steps.expect(9)
    steps._expected = (steps._expected[0] - 3 * 3600, *steps._expected[1:])  # as if it took 3 h
    for _ in range(3):
        steps.run('a step', 'x', '-c', '')
    lines = [line for line in console.export_text().splitlines() if 'finished in' in line]
    assert [('to go' in line) for line in lines] == [False, False, False, True]
    assert lines[-1].endswith('about 6.0 h to go')


def test_a_step_that_fails_shows_the_end_of_its_log(tmp_path):
    steps = Steps(tmp_path, total=1)
    with pytest.raises(MultiSSLError, match='(?s)step 1 failed.*x.log.*No such file'):
        steps.run('a step', 'x', 'no_such_script.py')
    done = tmp_path / 'done'
    done.touch()
    steps.run('another', 'y', 'no_such_script.py', done=done)  # is not run at all


def test_commands_run_where_one_is(tmp_path, monkeypatch):
    """Work goes to the current directory, wherever the package is."""
    monkeypatch.chdir(tmp_path)
    console = Console(record=True, width=100)
    Steps(tmp_path / 'logs', console=console).run('a file', 'x', '-c',
                                                  'open("made", "w").close()')
    assert (tmp_path / 'made').is_file()
    assert "python -c 'open(" in console.export_text()


def planned(folder, *names, code):
    """Steps that make files, each wanted as often as it is named."""
    plan = Plan(Store(folder))
    for name in names:
        plan.want(python_step(plan.store, name, code))
    return plan


def test_two_at_a_time_make_each_file_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(record=True, width=100)
    steps = Steps(tmp_path / 'logs', console=console, jobs=2)
    code = ('import os, sys, time; assert os.environ["OMP_NUM_THREADS"] >= "1"; '
            'open(sys.argv[1], "x"); print("Epoch(train) [1][1/2] loss: 1")')
    plan = planned(tmp_path, 'a', 'a', 'b', code=code)
    plan.carry_out(steps)
    assert [done.is_file() for done in plan.steps] == [True, True]
    assert console.export_text().count('finished in') == 2 and plan.due() == []


def test_asked_to_stop_nothing_more_is_started(tmp_path):
    steps = Steps(tmp_path, console=Console(quiet=True), jobs=2)
    with pytest.raises(MultiSSLError, match='(?s)step 1 failed.*no_such_name'):
        planned(tmp_path / 'runs', 'a', code='no_such_name').carry_out(steps)
    steps.run('b', 'b', '-c', 'pass')
    steps.stop()
    with pytest.raises(MultiSSLError, match='step 3 was not started'):
        steps.run('b', 'b', '-c', 'open("made", "w")')


def test_a_launcher_starts_this_python(tmp_path, monkeypatch):
    """Where an environment is not activated, ``python`` is another; so is make's variable."""
    monkeypatch.setenv('PYTHON', 'another')
    script = tmp_path / 'launch.sh'
    script.write_text('echo "of $PYTHON"')
    Steps(tmp_path, console=Console(quiet=True)).run('a script', 'x', str(script))
    assert (tmp_path / 'x.log').read_text() == f'of {sys.executable}\n'


def test_with_several_gpus_each_command_has_one(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.device_count', lambda: 2)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)

    def given(jobs, gpus=1):
        steps = Steps(tmp_path, jobs=jobs, gpus=gpus)
        slots = [steps._slots.get() for _ in range(jobs)]
        return [steps._share(slot, for_).get('CUDA_VISIBLE_DEVICES')
                for for_ in dict.fromkeys((gpus, 1)) for slot in slots]

    assert given(3) == ['0', '1', '0'] and given(1) == [None]
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,6')  # those that there are
    assert given(2) == ['4', '6']
    monkeypatch.setattr('torch.cuda.device_count', lambda: 5)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    # A launcher has as many as it was given processes, an evaluation one.
    assert given(2, 2) == ['0,1', '2,3', '0', '2']
    assert given(2, 4) == ['0,1,2,3'] * 2 + ['0', '1'] and given(2, 5) == [None] * 2 + ['0', '1']
