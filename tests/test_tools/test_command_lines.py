"""Tools are command lines of the package: what they print and how they end."""
import ast
import io
import os
import sys
from pathlib import Path

import pytest
import tiny
import torch
from commands import run_tool
from mmengine.config import Config

from multissl_mm.registry import MODELS
from multissl_mm.utils import cli

TOOLS = tiny.CONFIGS.parent / 'tools'
NAMES = sorted(str(path.relative_to(TOOLS)) for path in TOOLS.rglob('*.py'))


@pytest.mark.parametrize('name', NAMES)
def test_help(name):
    done = run_tool(name, '--help')
    assert done.status == 0 and done.out.startswith('usage: '), done.err


@pytest.mark.parametrize('name', NAMES)
def test_a_tool_is_a_command_line_and_nothing_else(name):
    """What it does lives in the package; it neither finds other tools nor imports them."""
    text = (TOOLS / name).read_text()
    tree = ast.parse(text)
    imported = {(node.module if isinstance(node, ast.ImportFrom) else alias.name).split('.')[0]
                for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))
                for alias in node.names}
    assert imported.isdisjoint(Path(other).stem for other in NAMES)
    assert 'sys.path' not in text
    assert len(text.splitlines()) - len(ast.get_docstring(tree).splitlines()) < 60


@pytest.mark.parametrize('arguments, message', [
    (['analysis_tools/compare_runs.py', 'a', 'b'], 'a: no such folder'),
    (['analysis_tools/cost.py', 'a.py', '--step', 1, '--loader', 1, '--disk', 1],
     'a.py: no such config'),
    (['analysis_tools/curves.py', 'a'], 'a: no such folder'),
    (['analysis_tools/demo_data_difficulty.py', 'a', '--epochs', 0], '--epochs must be at least 1'),
    (['benchmarks/gpu_suite.py'], 'there is no GPU that torch can use'),
    (['benchmarks/loader.py', 'a.py'], 'a.py: no such config'),
    (['benchmarks/sound_front_end.py', 'a.py'], 'a.py: no such config'),
    (['benchmarks/step_time.py', '--models', 'x'], '--models: there is no x'),
    (['dataset_converters/label_omniaudio.py', 'a', 'm.py', 'm.pth'], 'm.py: no such file'),
    (['dataset_converters/omniaudio.py', 'a', 'b'], 'a: no such folder'),
    (['dataset_converters/omniaudio.py', '.', 'b', '--size', 16, 100], 'a multiple of 64'),
    (['dataset_converters/pack.py', 'a', 'b'], 'a: no such folder'),
    (['model_converters/concat_backbones.py', 'a.py', 'b', 'c'], 'a.py: no such config'),
    (['model_converters/average_backbones.py', 'a.py', 'b', 'c'], 'a.py: no such config'),
    (['model_converters/export_backbone.py', 'a.pth', 'b'], 'a.pth: no such checkpoint'),
    (['model_converters/to_stage1.py', 'a.py', 'a.pth', 'b'], 'a.pth: no such checkpoint'),
    (['reproduce.py', 'table4', '--rows', 'a'], 'table4 has no row a; it has random'),
    (['reproduce.py', 'table4', '--rows', 'detco'], 'name them with --checkpoint'),
    (['reproduce.py', 'table2b', '--rows', 'audioset'], 'name them with --checkpoint'),
    (['model_converters/yamnet.py', 'a', 'b'], 'a/variables/variables.index: no such file'),
    (['evidence/recordings.py', 'a', 'b'], 'fetch.sh recordings'),
    (['evidence/heads.py', 'a.js'], 'a.js: no such head'),
])
def test_errors_are_for_people(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    if '.' in arguments:
        (tmp_path / 'scene0001').mkdir()
    done = run_tool(*arguments)
    last = done.err.strip().splitlines()[-1]
    assert done.status == 1 and last.startswith('error: ') and message in last
    assert not [p for p in tmp_path.iterdir() if p.name != 'scene0001']


def test_names_that_are_no_text_can_be_printed(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), 'utf-8', 'strict')
    monkeypatch.setattr(sys, 'stdout', stream)
    cli.run_tool(lambda: print(os.fsdecode(b'caf\xe9.png')))
    stream.flush()
    assert stream.buffer.getvalue() == b'caf\\udce9.png\n'


@pytest.mark.parametrize('tool, option, values', [
    ('infer_image.py', '--image-size', [0]), ('infer_image.py', '--batch-size', [-1]),
    ('benchmarks/voc07_svm.py', '--image-size', [0]),
    ('benchmarks/linear_segmentation.py', '--image-size', [0]),
    ('dataset_converters/omniaudio.py', '--size', [0, 64])])
def test_sizes_that_cannot_be(tool, option, values):
    done = run_tool(tool, 'a', 'b', *['c'] * (tool == 'infer_image.py'), option, *values)
    assert done.status == 2
    assert f'argument {option}: {values[0]} is not a whole number from 1 on' in done.err


@pytest.mark.parametrize('name, function, options, arguments', [
    ('reproduce.py', 'reproduce_table',
     ['table2a', '--rows', 'a', '--downstream', 'sp', '--seed', 0, 1, '--full', '--gpus', 4,
      '--checkpoint', 'x', '--out', 'y'],
     dict(name='table2a', rows=['a'], downstream=['sp'], seeds=[0, 1], full=True, gpus=4,
          checkpoint='x', out=Path('y'), jobs=1, scale=None, fresh=False, report=False,
          printed=False, scenes='streets')),
    ('demo.py', 'run_demo', ['--out', 'x', '--seed', 1], dict(out=Path('x'), seed=1, jobs=None)),
    ('demo_sound.py', 'run_sound_demo', [], Path('work_dirs/demo_sound')),
])
def test_long_work_gets_its_arguments(name, function, options, arguments, monkeypatch):
    calls = []
    monkeypatch.setattr(f'multissl_mm.reproduce.{function}',
                        lambda *args, **kwargs: calls.append(kwargs or args[0]))
    assert run_tool(name, *options).status == 0
    assert calls == [arguments]


def test_seeds_are_how_many_and_seed_is_which(monkeypatch):
    asked = []
    monkeypatch.setattr('multissl_mm.reproduce.reproduce_table',
                        lambda **arguments: asked.append(list(arguments['seeds'])))
    for options in ([], ['--seeds', 3], ['--seed', 3]):
        assert run_tool('reproduce.py', 'all', *options).status == 0
    assert asked == [[0], [0, 1, 2], [3]]
    assert run_tool('reproduce.py', 'all', '--seeds', 2, '--seed', 3).status == 2


@pytest.mark.parametrize('holds, status', [(True, 0), (False, 1)])
def test_a_bound_that_is_missed_is_an_exit_status(holds, status, monkeypatch):
    from multissl_mm.benchmarks import hook_overhead, step_time
    monkeypatch.setattr('multissl_mm.reproduce.run_sound_controls',
                        lambda rows, out, options: dict(a=holds))
    assert run_tool('benchmarks/sound_controls.py', '--rows', 'a').status == status
    monkeypatch.setattr('multissl_mm.analysis.difficulty.measure_difficulty',
                        lambda *args: type('', (), dict(gap=15. if holds else 14.)))
    assert run_tool('analysis_tools/demo_data_difficulty.py').status == status
    failed = [] if holds else ['MoCo v2 takes longer']
    monkeypatch.setattr(step_time, 'measure_step_time',
                        lambda *args, **kwargs: step_time.StepTimes({}, {}, {}, failed, {}, {}))
    done = run_tool('benchmarks/step_time.py', '--check')
    assert done.status == status and done.err == ''.join(failed)
    monkeypatch.setattr(hook_overhead, 'measure_hook_overhead',
                        lambda *args, **kwargs: hook_overhead.Overhead({}, .01 + .01 * (not holds),
                                                                       {}))
    assert run_tool('benchmarks/hook_overhead.py', '--check').status == status


def test_converters_say_what_they_did(tmp_path, scope):
    backbone = MODELS.build(tiny.backbone())
    state = {**backbone.state_dict(), 'fc.weight': torch.zeros(2)}
    torch.save(state, tmp_path / 'theirs.pth')
    done = run_tool('model_converters/export_backbone.py', tmp_path / 'theirs.pth',
                    tmp_path / 'b.pth', '--prefix', '', '--drop', 'fc.')
    assert 'none unexpected in the ResNet-18 of mmdet and of mmpretrain' in done.out
    assert 'left out: fc.weight' in done.out

    both = dict(type='multissl_mm.ConcatBackbone', encoders=[tiny.backbone()] * 2)
    Config(dict(default_scope='mmpretrain', model=dict(backbone=both))).dump(tmp_path / 'c.py')
    done = run_tool('model_converters/concat_backbones.py', tmp_path / 'c.py', tmp_path / 'c.pth',
                    tmp_path / 'b.pth', tmp_path / 'b.pth')
    assert '2 encoders, no key missing and none unexpected' in done.out

    neck = tiny.moco_task()['neck']
    task = dict(tiny.moco_task(), name='m')
    Config(dict(default_scope='mmpretrain', model=dict(
        type='multissl_mm.IncrementalLearning', backbone=tiny.backbone(),
        tasks=[task, dict(task, name='n')]))).dump(tmp_path / 'il.py')
    torch.save({**{f'backbone.{k}': v for k, v in backbone.state_dict().items()},
                **{f'neck.{k}': v for k, v in MODELS.build(neck).state_dict().items()}},
               tmp_path / 'moco.pth')
    done = run_tool('model_converters/to_stage1.py', tmp_path / 'il.py', tmp_path / 'moco.pth',
                    tmp_path / 'stage1.pth', '--cfg-options', 'model.momentum=0.99')
    assert '(layout mmpretrain) as task m:\n  backbone: from the file' in done.out
    assert 'tasks.m.queues.global: not in the file, random directions' in done.out
    assert 'all keys of' in done.out and (tmp_path / 'stage1.pth').is_file()
