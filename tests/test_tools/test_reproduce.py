"""The table's rows: their commands, and what is made of their results."""
import json
import runpy
import sys

import pytest
import tiny
from mmengine.config import Config

from multissl_mm.utils.steps import ROOT, Steps

tool = runpy.run_path(str(tiny.CONFIGS.parent / 'tools' / 'reproduce.py'))
TABLE4 = tool['TABLE4']


class Recorded(Steps):
    """Steps that are not run but leave what the next one needs."""

    def __init__(self, logs):
        super().__init__(logs)
        self.commands = []

    def run(self, title, log, *command, done=None):
        if done.exists():
            return
        self.commands.append(' '.join(command))
        done.parent.mkdir(parents=True, exist_ok=True)
        done.write_text(json.dumps(dict(mAP=36.) if 'svm' in done.name else dict(bbox_mAP=2.)))


@pytest.mark.parametrize('size', ['DEMO', 'FULL'])
@pytest.mark.parametrize('key', list(TABLE4))
def test_every_row_names_configs_that_exist_and_fit(tmp_path, size, key, scope):
    steps = Recorded(tmp_path / 'logs')
    out = tmp_path / 'table'
    run = tool['Table4Run'](tool[size], out, 1, steps, gpus=8 * (size == 'FULL'), given='x.pth')
    metrics = run.run(key)
    assert metrics == dict(svm=36., bbox_mAP=2.)
    assert json.loads((out / 'seed1' / f'{key}.json').read_text()) == metrics
    text = '\n'.join(steps.commands)
    for word in text.split():
        if word.startswith(('configs/', 'tools/')):
            assert (ROOT / word).is_file(), word
    trained = sum('_train.sh' in c or 'tools/train.py' in c for c in steps.commands)
    row = TABLE4[key]
    assert trained == 1 + bool(row.pretrain) + len(row.parts)
    assert ('dist_train.sh' in text) == (size == 'FULL') and 'randomness.seed=1' in text
    for k, part in enumerate(row.parts):
        assert (f'experts.{k}.backbone.init_cfg.checkpoint={out}/seed1/{part}/epoch_' in text or
                f'{out}/seed1/{part}/epoch_' in text)
    if key == 'detco':
        assert 'init_cfg.checkpoint=x.pth' in text


def test_full_and_demo_configs_are_the_same_experiment():
    """Same algorithm, tasks and losses; sizes and schedules differ."""
    for key, row in TABLE4.items():
        name = row.pretrain or row.backbone
        full, demo = (Config.fromfile(tiny.CONFIGS / f'{folder}{name}.py').model
                      for folder in ('', 'demo/'))
        if key == 'supervised':
            continue
        assert full.get('type') == demo.get('type')
        assert [t.name for t in full.get('tasks', [])] == [t.name for t in demo.get('tasks', [])]
        for k in ('loss', 'projector', 'temperature', 'loss_weights', 'distill_weights'):
            assert full.get(k) == demo.get(k), (name, k)


def test_mean_and_spread(tmp_path, capsys):
    for seed, value in enumerate((10., 12., 14.)):
        folder = tmp_path / f'seed{seed}'
        folder.mkdir()
        row = {metric: value for metric in tool['COLUMNS'].values()}
        (folder / 'mocov2.json').write_text(json.dumps(row))
    tool['show'](tmp_path, tool['COLUMNS'], TABLE4)
    out = capsys.readouterr().out
    assert '12.0' in out and '± 2.0' in out and '84.3' in out
    assert list(json.loads((tmp_path / 'table4.json').read_text())['mocov2']) == [
        'seed0', 'seed1', 'seed2']
    assert '| MoCo v2 (M) | 3 | 12.0 ± 2.0 |' in (tmp_path / 'table4.md').read_text()
    assert (tmp_path / 'table4.png').stat().st_size > 10_000


def test_detco_needs_a_file(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['reproduce.py', 'table4', '--rows', 'detco'])
    with pytest.raises(Exception, match='--checkpoint'):
        tool['main']()


def test_metrics_are_the_last_ones_in_percent(tmp_path):
    folder = tmp_path / 'run' / '2026' / 'vis_data'
    folder.mkdir(parents=True)
    lines = [{'loss': 1.}, {'coco/bbox_mAP': .1, 'step': 1}, {'coco/bbox_mAP': .25, 'step': 2}]
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    assert tool['coco_metrics'](tmp_path / 'run') == {'bbox_mAP': 25.}
    with pytest.raises(Exception, match='has no coco metrics'):
        tool['coco_metrics'](tmp_path)
