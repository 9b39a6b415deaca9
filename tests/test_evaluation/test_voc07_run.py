"""The whole VOC07 protocol on a tiny VOC2007 folder, in one process and in two."""
import json
import multiprocessing
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from pictures import COLOURS, encoder_config, write_voc

from multissl_mm.apis import load_encoder
from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation import voc07 as voc
from multissl_mm.evaluation.provenance import settings_ending
from multissl_mm.utils.cli import run_tool

ROOT = Path(tiny.__file__).parent.parent
TOOL = ROOT / 'tools' / 'benchmarks' / 'voc07_svm.py'


@pytest.fixture(scope='module')
def voc_root(tmp_path_factory):
    return write_voc(tmp_path_factory.mktemp('voc') / 'VOC2007')


@pytest.fixture
def voc_copy(tmp_path):
    return write_voc(tmp_path / 'VOC2007', 4)


def test_end_to_end(voc_root, tmp_path, capsys):
    cfg = encoder_config()
    checkpoint = tmp_path / 'epoch_1.pth'
    weights = load_encoder(cfg, 'random').backbone.state_dict()
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in weights.items()}), checkpoint)
    options = dict(image_size=64, layer='feat2', costs=(1., 100.), workers=0, device='cpu', jobs=1)
    result = voc.run_voc07_svm(cfg, str(checkpoint), str(voc_root), low_shot=(2, 96),
                           low_shot_samples=2, out=str(tmp_path / 'x' / 'a.json'), **options)
    assert result['mAP'] > 95 and list(result['classes']) == sorted(COLOURS)
    assert result['dimensions'] == 8 * 36 and result['images'] == dict(trainval=36, test=36)
    assert len(result['sha256']) == 64 and list(result['low_shot']['shots']) == ['2']
    saved = json.loads((tmp_path / 'x' / 'a.json').read_text())
    assert saved['mAP'] == result['mAP'] and saved['versions']['sklearn']
    printed = capsys.readouterr().out
    assert 'green' in printed and 'pooling: adaptive' in printed and 'k = 96 left out' in printed
    # the same weights, from the seed
    again = voc.run_voc07_svm(cfg, 'random', str(voc_root), out=str(tmp_path / 'b.json'),
                          verbose=False, **options)
    assert again['classes'] == result['classes'] and again['sha256'] is None


def run_rank(rank, port, arguments):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2',
                      MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), CUDA_VISIBLE_DEVICES='')
    sys.argv = [str(TOOL), *arguments]
    runpy.run_path(str(TOOL), run_name='__main__')


def test_two_processes_extract_what_one_does(voc_root, tmp_path):
    """The tool in two processes (forked: they need not import torch again), then the function."""
    (tmp_path / 'cfg.json').write_text(json.dumps(encoder_config().to_dict()))
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    arguments = [str(tmp_path / 'cfg.json'), 'random', '--data-root', str(voc_root), '--out',
                 str(tmp_path / 'two.json'), '--image-size', '64', '--batch-size', '16',
                 '--workers', '0', '--jobs', '1', '--costs', '1', '--launcher', 'pytorch']
    fork = multiprocessing.get_context('fork')
    ranks = [fork.Process(target=run_rank, args=(rank, port, arguments)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in ranks] == [0, 0]
    two = json.loads((tmp_path / 'two.json').read_text())
    one = voc.run_voc07_svm(str(tmp_path / 'cfg.json'), 'random', str(voc_root), image_size=64,
                            batch_size=16, workers=2, device='cpu', jobs=1, costs=(1., ),
                            out=str(tmp_path / 'one.json'), verbose=False)
    assert two['processes'] == 2 and one['processes'] == 1
    for key in ('features_sha256', 'classes', 'mAP'):
        assert two[key] == one[key]


@pytest.mark.slow
def test_torchrun(voc_root, tmp_path):
    (tmp_path / 'cfg.json').write_text(json.dumps(encoder_config().to_dict()))
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2',
         str(TOOL), str(tmp_path / 'cfg.json'), 'random', '--data-root', str(voc_root), '--out',
         str(tmp_path / 'a.json'), '--image-size', '64', '--costs', '1', '100', '--low-shot', '2'],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('wrote') == 1
    result = json.loads((tmp_path / 'a.json').read_text())
    assert result['processes'] == 2 and list(result['low_shot']['shots']) == ['2']


def edit(path, change):
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize('damage, said', [
    (lambda r: r.rename(r.parent / 'other'), 'VOC2007/ImageSets/Main: no such folder; --data-root'),
    (lambda r: (r / 'ImageSets/Main/red_test.txt').unlink(),
     'red_test.txt: no such file; extract both'),
    (lambda r: edit(r / 'ImageSets/Main/red_test.txt', lambda t: t[:-10]),
     'red_test.txt: lists other images than blue_test.txt, among them 000007'),
    (lambda r: edit(r / 'ImageSets/Main/red_test.txt', lambda t: t.replace('000005', '000005 1')),
     r'red_test.txt, line 2: .* is not a new image id'),
    (lambda r: edit(r / 'ImageSets/Main/red_test.txt', lambda t: ''), 'red_test.txt: lists no'),
    (lambda r: (r / 'JPEGImages/000005.jpg').unlink(),
     r'000005.jpg: no such image, though test lists it \(1 of 4'),
])
def test_damaged_data(damage, said, voc_copy):
    damage(voc_copy)
    with pytest.raises(MultiSSLError, match=said) as error:
        voc.load_voc2007(str(voc_copy))
    assert '\n' not in str(error.value)


def test_lists_may_have_a_bom(voc_copy):
    """Bug 24"""
    before = voc.load_voc2007(str(voc_copy))
    for path in (voc_copy / 'ImageSets/Main').glob('*.txt'):
        path.write_text(path.read_text(), encoding='utf-8-sig')
    after = voc.load_voc2007(str(voc_copy))
    assert after[1].paths == before[1].paths and (after[2].labels == before[2].labels).all()


def test_results_of_two_runs_have_files_of_their_own(voc_root, tmp_path, monkeypatch, capsys):
    """Bugs 18 and 35: though their checkpoints have the same name, with brackets in it."""
    monkeypatch.chdir(tmp_path)
    for seed, run in enumerate(('a', 'b')):
        path = tmp_path / run / '[old]epoch_1.pth'
        path.parent.mkdir()
        cfg = encoder_config()
        backbone = load_encoder(cfg, 'random', seed=seed).backbone
        torch.save({f'backbone.{k}': v for k, v in backbone.state_dict().items()}, path)
        voc.run_voc07_svm(cfg, str(path), str(voc_root), workers=0, costs=(1., ), jobs=1,
                          image_size=32)
    files = list((tmp_path / 'work_dirs').rglob('*.json'))
    assert {json.loads(file.read_text())['checkpoint'] for file in files} == {
        str(tmp_path / run / '[old]epoch_1.pth') for run in 'ab'}
    assert '[old]' in capsys.readouterr().out.replace('\n', '')


def test_results_of_other_settings_have_names_of_their_own():
    """Another seed of random weights, other data, low-shot: one file was that of all of them."""
    usual = dict(seed=0, costs=list(voc.COSTS), low_shot=[], data_root='data/VOCdevkit/VOC2007')
    assert settings_ending(voc.run_voc07_svm, **usual) == ''
    others = [dict(seed=1), dict(costs=[1.]), dict(low_shot=(1, )), dict(data_root='VOC2007')]
    endings = [settings_ending(voc.run_voc07_svm, **{**usual, **other}) for other in others]
    assert len({'', *endings}) == 5
    assert settings_ending(voc.run_voc07_svm, **{**usual, **others[2]}) == endings[2]


def test_truncated_picture_ends_a_tool_with_one_line(voc_copy, capsys):
    path = voc_copy / 'JPEGImages/000001.jpg'
    path.write_bytes(path.read_bytes()[:900])

    def main():
        voc.run_voc07_svm(encoder_config(), 'random', str(voc_copy), workers=1, verbose=False)

    with pytest.raises(SystemExit):
        run_tool(main)
    assert re.fullmatch(r'error: .*000001.jpg: cannot be read as an image .*\n',
                        capsys.readouterr().err)
