"""Steps that need each other."""
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from recorded import RecordedSteps, python_step
from rich.console import Console

from multissl_mm.engine.hooks.checkpoint import FINAL
from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce import outcomes
from multissl_mm.reproduce.plan import Plan
from multissl_mm.reproduce.steps import Steps
from multissl_mm.reproduce.store import Store, code_digest


def planned(folder, *code):
    """Steps a -> b -> d and c -> d."""
    store = Store(folder / 'runs')
    plan, made = Plan(store), {}
    for name, needs in (('c', ''), ('a', ''), ('b', 'a'), ('d', 'bc')):
        made[name] = python_step(store, name, *code, needs=[made[need].done for need in needs])
        plan.add(made[name])
    return plan, made


def test_a_plan_is_made_in_its_order_and_what_nobody_wants_not_at_all(tmp_path):
    plan, made = planned(tmp_path)
    assert plan.due() == []
    plan.want(made['b'])
    assert [step.title for step in plan.due()] == ['a', 'b']
    published = []
    plan.want(made['d'], lambda: published.append('d'))
    steps = RecordedSteps(tmp_path / 'logs', lambda done: {})
    plan.carry_out(steps)
    order = [Path(command.split()[-1]).name[0] for command in steps.commands]
    assert order == ['c', 'a', 'b', 'd'] and published == ['d']
    assert plan.due() == [] and made['d'].what.read_made()['made_of'] == [
        made['b'].what.name, made['c'].what.name]
    plan.carry_out(steps)
    assert len(steps.commands) == 4 and published == ['d', 'd']  # said, not made


@pytest.mark.timeout(900)  # starts processes
def test_two_at_a_time_with_processes(tmp_path):
    code = 'import sys; open(sys.argv[1], "x").close()'  # fails where it is there
    plan, made = planned(tmp_path, code)
    plan.want(made['d'])
    plan.carry_out(Steps(tmp_path / 'logs', jobs=2))
    assert all(step.done.is_file() for step in made.values())
    assert made['d'].what.read_made()['seconds'] > 0


@pytest.mark.timeout(900)
def test_after_a_failure_it_goes_on_where_it_was(tmp_path):
    code = 'import sys; "/c-" in sys.argv[1] or open(sys.argv[1], "x"); ' \
        'sys.exit("/c-" in sys.argv[1])'
    plan, made = planned(tmp_path, code)
    plan.want(made['d'])
    with pytest.raises(MultiSSLError, match='(?s)step . failed.*1 that need them were not started'):
        plan.carry_out(Steps(tmp_path / 'logs', jobs=2))
    # What does not need it is made.
    assert [made[name].done.exists() for name in 'abcd'] == [True, True, False, False]
    made['c'].done.write_text('')
    assert [step.title for step in plan.due()] == ['d']


@pytest.mark.timeout(900)
def test_what_another_process_makes_is_waited_for(tmp_path):
    """As another job of a cluster that needs the same encoder."""
    plan, made = planned(tmp_path, 'import sys; open(sys.argv[1], "x").close()')
    plan.want(made['a'])
    plan.store.folder.mkdir()
    code = ('import fcntl, sys, pathlib; file = open(sys.argv[1], "a+"); fcntl.lockf(file, 2); '
            'file.write("the other"); file.flush(); print("held", flush=True); sys.stdin.read(1); '
            'pathlib.Path(sys.argv[2]).write_text("theirs")')
    other = subprocess.Popen(
        [sys.executable, '-c', code, str(made['a'].what.lock), str(made['a'].done)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == 'held\n'
    console = Console(record=True, width=100)
    steps = Steps(tmp_path / 'logs', console=console)
    thread = threading.Thread(target=plan.carry_out, args=(steps, ))
    thread.start()
    try:
        while 'waits for the other' not in console.export_text(clear=False):
            assert thread.is_alive()
            time.sleep(.05)
    finally:
        other.communicate('x')
    thread.join()
    assert made['a'].done.read_text() == 'theirs' and 'done before' in console.export_text()


def test_two_commands_publish_one_row(tmp_path, monkeypatch):
    """As of two tables that share a folder: one took the link away that the other was to."""
    monkeypatch.setattr(outcomes, 'cost', lambda trained: {})
    what = SimpleNamespace(read_made=dict, name='m-1', settings='1')
    done, link = tmp_path / 'svm.json', tmp_path / 'seed0' / 'm'
    done.write_text('{"mAP": 1}')
    encoders = []
    for name in 'ab':
        (tmp_path / name).mkdir()
        encoders.append(SimpleNamespace(trained=[(what, 1)],
                                        checkpoint=tmp_path / name / FINAL))

    def publish(encoder):
        for _ in range(50):
            outcomes.publish(link.with_name('m_svm.json'), SimpleNamespace(what=what, done=done),
                             encoder, link)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(publish, encoders))
    assert link.resolve() in (tmp_path / 'a', tmp_path / 'b')
    assert sorted(path.name for path in link.parent.iterdir()) == ['m', 'm_svm.json']


def test_what_was_begun_of_what_is_made_anew_begins_anew(tmp_path):
    """Its checkpoints go on from weights of the other code."""
    made_by = {'a': 'other', 'b': code_digest()}
    plan, made = planned(tmp_path)
    plan.fresh = True
    plan.want(made['b'])
    made['a'].done.parent.mkdir()
    made['a'].done.write_text('{}')
    again = Store(tmp_path / 'runs').named('again', 0, 'b')._replace(name=(
        f"again-{made['b'].what.identity}"))  # of a command that was begun at the same time
    again.json.write_text('{}')
    again.made.write_text(json.dumps(dict(code=code_digest(), date='now')))
    for name, code in made_by.items():
        made[name].what.made.write_text(json.dumps(dict(code=code)))
        made[name].what.path.mkdir()
    steps = RecordedSteps(tmp_path / 'logs', lambda done: {})
    plan.carry_out(steps)
    assert not made['a'].what.path.exists() and not made['b'].what.path.exists()
    assert not again.json.exists()
    assert [Path(command.split()[-1]).name[0] for command in steps.commands] == ['a', 'b']


@pytest.mark.parametrize('wrong', ['collect', 'publish'])
def test_whatever_is_wrong_with_a_step_the_others_go_on(tmp_path, wrong):
    """A torn log, or a folder that cannot be written, ended a night's work."""
    def fail():
        raise OSError('no space')

    plan = Plan(Store(tmp_path / 'runs'))
    steps = RecordedSteps(tmp_path / 'logs', lambda done: {})
    made = [python_step(plan.store, name) for name in 'abc']
    if wrong == 'collect':
        steps.run = lambda title, log, *command, done: title == 'a' or done.write_text('{}')
        made[0] = made[0]._replace(collect=fail)
        (tmp_path / 'runs').mkdir()
    for step in made:
        plan.want(step, *([fail] if wrong == 'publish' and step.title == 'a' else ()))
    with pytest.raises(MultiSSLError, match='^a: OSError: no space$') as caught:
        plan.carry_out(steps)
    assert isinstance(caught.value.__cause__.__cause__, OSError)
    assert [step.done.exists() for step in made] == [wrong == 'publish', True, True]
