"""The tutorial "Add a pretext task" does what it says, by its text alone."""
import importlib
import re
import sys
from pathlib import Path

import pytest
import tiny
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from multissl_mm.evaluation.checkpoint_scores import score_checkpoints
from multissl_mm.models.pretext import flatten
from multissl_mm.registry import MODELS

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / 'docs' / 'tutorials' / 'add_a_pretext_task.md'


def blocks():
    return dict(re.findall(r'```python title="(.+?)"\n(.*?)```', TUTORIAL.read_text(), re.DOTALL))


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Both files of the tutorial in a folder, which is where Python looks first."""
    folder = tmp_path_factory.mktemp('tutorial')
    for name, text in blocks().items():
        (folder / name).write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
    sys.path.insert(0, str(folder))
    importlib.import_module('rotation')
    yield folder
    sys.path.remove(str(folder))


def config(written, images, work_dir, order, source):
    """The tutorial's config, with the tests' tiny data and backbone."""
    theirs = Config.fromfile(written / 'il_mocov2_rotation.py')
    entry = dict(theirs.model.tasks[1], in_channels=tiny.CHANNELS)
    cfg = tiny.tiny_config('il_mocov2_densecl', images, work_dir)
    tasks = dict(m=dict(tiny.moco_task(), name='mocov2'), r=entry)
    cfg.model.tasks = [tasks[key] for key in order]
    cfg.custom_imports = theirs.custom_imports
    if source == 'teacher':
        cfg.model.responses = dict(source='teacher', replicas=2)
    cfg.experiment_name = f'{order}_{source}'
    return cfg


def test_fewer_than_sixty_lines():
    lines = [line for text in blocks().values() for line in text.splitlines() if line.strip()]
    assert set(blocks()) == {'rotation.py', 'il_mocov2_rotation.py'} and len(lines) < 60


def test_its_layers_fit_the_backbone_that_it_names(written, scope):
    """Tests above all give it a smaller one: it stood there with another width for a day."""
    model = MODELS.build(Config.fromfile(written / 'il_mocov2_rotation.py').model)
    features = model.backbone(torch.zeros(2, 3, 64, 64))[-1]
    assert model.tasks.rotation.classify.in_features == features.shape[1]


@pytest.mark.parametrize('order', ['mr', 'rm'])
def test_both_orders_with_stored_responses_and_teachers(written, images, tmp_path, order):
    found = {}
    for source in ('stored', 'teacher'):
        cfg = config(written, images, tmp_path / source, order, source)
        runner = Runner.from_cfg(cfg)
        steps, forward = [], runner.model.loss

        def loss(views, samples, forward=forward, steps=steps):
            out = forward(views, samples)
            steps.append({k: v.item() for k, v in flatten(out).losses.items()})
            return out

        runner.model.loss = loss
        runner.train()
        found[source] = steps
    old = dict(m='mocov2', r='rotation')[order[0]]
    assert [f'{old}.loss_distill' in step for step in found['stored']] == [False] * 6 + [True] * 6
    for a, b in zip(found['stored'], found['teacher']):
        assert a == pytest.approx(b, abs=1e-5)
    assert found['stored'][-1][f'{old}.loss_distill'] > 1e-6
    # A folder of pictures has no splits: the config says which are scored.
    scores = score_checkpoints(cfg, [str(tmp_path / 'teacher' / 'final.pth')])['final']
    assert 0 <= scores['rotation']['top1'] <= 1


def test_it_turns_pictures_and_learns(written, scope):
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='multissl_mm.MultiTask', backbone=tiny.backbone(), view_names=['query'],
        tasks=[dict(name='rotation', type='multissl_mm.RotationTask', in_channels=tiny.CHANNELS)]))
    model.init_weights()
    query = torch.zeros(32, 3, 32, 32)
    query[:, :, :8] = 1  # bright above
    made = model.make(dict(query=query), None, model.tasks.values())
    bright = [made['rotated'][made['turns'] == k][:, :, rows, columns].mean().item() == 1
              for k, (rows, columns) in enumerate([
                  (slice(0, 8), slice(None)), (slice(None), slice(0, 8)),
                  (slice(24, 32), slice(None)), (slice(None), slice(24, 32))])]
    assert bright == [True] * 4
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(15):
        out = model([query], None, mode='loss')
        optimizer.zero_grad()
        model.parse_losses(out)[0].backward()
        optimizer.step()
    assert out.metrics['rotation.top1'] > .9
