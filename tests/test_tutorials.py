"""The tutorial of a pretext task, by its text alone."""
import re
import sys
from pathlib import Path

import pytest
import tiny
from mmengine.config import Config
from mmengine.runner import Runner

from multissl_mm.evaluation.pretext_scores import pretext_scores

ROOT = tiny.CONFIGS.parent
PAGE = ROOT / 'docs' / 'tutorials' / 'add_a_pretext_task.md'
FILES = dict(re.findall(r'^```python title="(\S+)"\n(.*?)^```$', PAGE.read_text(), re.M | re.S))


@pytest.fixture
def written(tmp_path, monkeypatch, registers):
    """The tutorial's files where it says, beside the project's configs."""
    (tmp_path / 'configs').symlink_to(tiny.CONFIGS)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / 'my_tasks'))
    yield tmp_path
    sys.modules.pop('rotation', None)


def train(written: Path, images: Path, name: str, turned_round: bool = False, **responses):
    """A run of the tutorial's config on few pictures, and what every step put out."""
    cfg = Config.fromfile(written / 'my_tasks' / 'il_rotation_mocov2.py')
    if turned_round:
        cfg.model.tasks = cfg.model.tasks[::-1]
    cfg.merge_from_dict(dict(
        work_dir=str(written / name), experiment_name=f'{written.name}_{name}',
        launcher='none', log_level='WARNING', train_cfg=dict(stages=[1, 1]),
        model=dict(responses=responses),
        train_dataloader=dict(batch_size=8, num_workers=0, persistent_workers=False,
                              dataset=dict(dataset=dict(data_root=str(images)))),
        default_hooks=dict(checkpoint=dict(interval=1))))
    runner = Runner.from_cfg(cfg)
    logs = []
    step = runner.model.train_step
    runner.model.train_step = lambda *args, **kwargs: logs.append(step(*args, **kwargs)) or logs[-1]
    runner.train()
    return runner, [{k: v.item() for k, v in log.items()} for log in logs]


def test_is_short():
    assert sum(text.count('\n') for text in FILES.values()) < 60


@pytest.mark.parametrize('turned_round', [False, True])
def test_learns_in_both_orders_and_is_scored(written, images, turned_round):
    runner, logs = train(written, images, 'run', turned_round)
    first, second = ('mocov2', 'rotation') if turned_round else ('rotation', 'mocov2')
    assert [f'{first}.loss' in log for log in logs] == [True] * 3 + [False] * 3
    assert [f'{second}.loss' in log for log in logs] == [False] * 3 + [True] * 3
    kept = [log[f'{first}.loss_distill'] for log in logs[3:]]
    assert max(kept) > 0  # it has moved, and is held
    assert (written / 'run' / 'responses' / first / 'manifest.json').is_file()
    scores = pretext_scores(runner.model, runner.train_dataloader, ['rotation'])
    assert 0 <= scores['rotation']['top1'] <= 1


def test_stored_responses_are_a_teachers(written, images):
    """The same views have the same labels whenever they come: the losses are equal."""
    _, stored = train(written, images, 'stored', dtype='float32')
    _, taught = train(written, images, 'taught', source='teacher')
    for a, b in zip(stored, taught):
        assert a == pytest.approx(b, abs=1e-4)
