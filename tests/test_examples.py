"""The examples as their readers start them."""
import re
import runpy

import pytest
import tiny
from mmengine.registry import DefaultScope

EXAMPLES = tiny.CONFIGS.parent / 'examples'


@pytest.fixture(autouse=True)
def no_scope():
    yield
    DefaultScope._instance_dict.clear()


def test_plain_pytorch_learns_both_stages(capsys):
    runpy.run_path(str(EXAMPLES / 'plain_pytorch.py'), run_name='__main__')
    said = capsys.readouterr().out
    kept = [float(x) for x in re.findall(r'mocov2.loss_distill (\S+)', said)]
    assert said.count('stage 1') == said.count('stage 2') == len(kept) == 4
    assert all(0 < x < 1 for x in kept)  # the response has moved, and is held


def test_mmdet_backbone_misses_no_key(capsys, monkeypatch):
    monkeypatch.setattr('sys.argv', ['mmdet_backbone.py'])
    runpy.run_path(str(EXAMPLES / 'mmdet_backbone.py'), run_name='__main__')
    said = capsys.readouterr().out
    assert re.search(r'exported (\d+) keys[\s\S]*loaded \1 keys into RetinaNet, none missing', said)
    assert 'class scores of 5 levels' in said
