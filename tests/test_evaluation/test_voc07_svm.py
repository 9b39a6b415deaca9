"""The VOC07 protocol, against its definition and on a tiny VOC2007 folder."""
import json
import multiprocessing
import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from mmengine.config import Config
from PIL import Image
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation import voc07_svm as voc
from multissl_mm.utils.cli import run_tool

ROOT = Path(tiny.__file__).parent.parent
TOOL = ROOT / 'tools' / 'benchmarks' / 'voc07_svm.py'
COLOURS = dict(blue=(30, 30, 220), green=(30, 200, 30), red=(220, 30, 30))


# ---------------------------------------------------------------------- precision

def envelope_area(scores, positive):
    """By definition: for every positive, the best precision at its recall or a higher one."""
    thresholds = sorted(set(scores), reverse=True)
    points = [(sum(p for s, p in zip(scores, positive) if s >= t) / sum(positive),
               sum(p for s, p in zip(scores, positive) if s >= t) / sum(s >= t for s in scores))
              for t in thresholds]
    total = 0
    for i in range(sum(positive)):
        recall = (i + 1) / sum(positive)
        total += max(p for r, p in points if r >= recall - 1e-9)
    return total / sum(positive)


def test_average_precision_by_hand():
    assert voc.average_precision([3, 2, 1], [True, True, False]) == 1
    # precisions 1/2 (recall 1/2) and 2/3 (recall 1): the envelope is 2/3 everywhere
    assert voc.average_precision([4, 3, 2, 1], [False, True, True, False]) == pytest.approx(2 / 3)
    # hits at ranks 1, 3 and 6: 1, 2/3, 1/2
    assert voc.average_precision(-np.arange(6), np.isin(range(6), [0, 2, 5])) == pytest.approx(
        (1 + 2 / 3 + 1 / 2) / 3)
    assert voc.average_precision(np.zeros(8), np.arange(8) < 2) == pytest.approx(1 / 4)  # all tied
    assert np.isnan(voc.average_precision([1., 2.], [False, False]))


def test_average_precision_by_brute_force():
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 30, 90):
        scores = rng.integers(0, 20, count).astype(float)  # many ties
        positive = rng.random(count) < 0.3
        positive[0] = True
        expected = envelope_area(scores.tolist(), positive.tolist())
        assert voc.average_precision(scores, positive) == pytest.approx(expected)
        shuffle = rng.permutation(count)
        assert voc.average_precision(scores[shuffle], positive[shuffle]) == pytest.approx(expected)


# ---------------------------------------------------------------------- SVMs

def blobs(count=60, classes=3, seed=0):
    """Features with a weak trace of their labels; the last row of labels is difficult."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((count, classes)) < 0.4, 1, -1)
    features = rng.normal(size=(count, 12))
    features[:, :classes] += 1.2 * labels
    labels[-1] = 0
    return features.astype(np.float32), labels


NAMES = ['a', 'b', 'c']


def test_costs_are_the_nineteen_of_the_protocol():
    assert len(voc.COSTS) == 19 and voc.COSTS[:4] == (1, 10, 100, 0.5**4)
    assert voc.COSTS[-1] == 0.5**19


@pytest.mark.filterwarnings('ignore:Liblinear')
def test_cost_and_precision_are_those_of_a_plain_loop():
    (x, y), (x_test, y_test) = blobs(), blobs(seed=1)
    costs = (1., 100., 0.5**6, 0.5**12)
    result = voc.evaluate_voc07(x, y, x_test, y_test, NAMES, costs, jobs=1, progress=False)

    def unit(f):
        f = f.astype(np.float64)
        return f / (np.sqrt((f * f).sum(1)) + 1e-5)[:, None]

    x, x_test = unit(x), unit(x_test)
    svm = dict(class_weight={1: 2, -1: 1}, max_iter=2000, dual=True, random_state=0)
    for c, name in enumerate(NAMES):
        target = np.where(y[:, c] == 0, -1, y[:, c])
        means = []
        for cost in costs:
            scores = [average_precision_score(
                target[rest],
                LinearSVC(C=cost, **svm).fit(x[fold], target[fold]).decision_function(x[rest]))
                for fold, rest in StratifiedKFold(3).split(x, target)]
            means.append(np.mean(scores))
        best = costs[int(np.argmax(means))]
        counts = y_test[:, c] != 0
        scores = LinearSVC(C=best, **svm).fit(x, target).decision_function(x_test)
        row = result['classes'][name]
        assert row['cost'] == best and row['cv_AP'] == pytest.approx(100 * max(means))
        assert row['AP'] == pytest.approx(100 * envelope_area(
            scores[counts].tolist(), (y_test[counts, c] == 1).tolist()))
    assert result['mAP'] == pytest.approx(
        np.mean([row['AP'] for row in result['classes'].values()]))
    assert result['fits'] == 3 * (4 * 3 + 1)


def test_difficult_is_negative_in_training_and_absent_in_test():
    (x, y), (x_test, y_test) = blobs(), blobs(seed=1)
    y_test[:20] = 0

    def evaluate(y, x_test, y_test):
        return voc.evaluate_voc07(x, y, x_test, y_test, NAMES, (1., ), jobs=1, progress=False)

    result = evaluate(y, x_test, y_test)
    assert evaluate(np.where(y == 0, -1, y), x_test, y_test)['classes'] == result['classes']
    counts = y_test[:, 0] != 0
    assert evaluate(y, x_test[counts], y_test[counts])['classes'] == result['classes']
    assert evaluate(y, x_test, np.where(y_test == 0, -1, y_test))['mAP'] != result['mAP']


def test_classes_without_positives_are_named_and_left_out():
    (x, y), (x_test, y_test) = blobs(), blobs(seed=1)
    y[2:, 0], y[:2, 0] = -1, 1
    y_test[:, 1] = np.minimum(y_test[:, 1], 0)
    result = voc.evaluate_voc07(x, y, x_test, y_test, NAMES, (1., ), jobs=1, progress=False)
    assert list(result['classes']) == ['c'] and result['mAP'] == result['classes']['c']['AP']
    assert '2 positives of 60' in result['excluded']['a']
    assert result['excluded']['b'] == 'no positives in test'
    with pytest.raises(MultiSSLError, match=r'no class is left.*a \(2 positives'):
        voc.evaluate_voc07(x, y[:, :2], x_test, y_test[:, :2], NAMES[:2], jobs=1)
    x[7, 3] = np.nan
    with pytest.raises(MultiSSLError, match='1 of 60 .*number 7'):
        voc.evaluate_voc07(x, y, x_test, y_test, NAMES, jobs=1)


def test_low_shot_never_chooses_by_the_test_set():
    (x, y), (x_test, y_test) = blobs(120), blobs(seed=1)
    rest = dict(shots=(1, 4, 96), samples=3, costs=(1., 0.5**15), jobs=1, progress=False)
    result = voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, **rest)
    one, four = result['shots']['1'], result['shots']['4']
    assert len(four['mAP']) == 3 and four['mean'] == pytest.approx(np.mean(four['mAP']))
    assert four['std'] == pytest.approx(np.std(four['mAP'])) and one['mean'] < four['mean']
    assert list(result['left_out']) == ['96']
    # other labels in test: other precisions, but the same costs
    other = voc.evaluate_low_shot(x, y, x_test, np.roll(y_test, 7, axis=0), NAMES, **rest)
    assert other['shots']['4']['cost'] == four['cost']
    assert other['shots']['4']['mAP'] != four['mAP']
    # a draw does not depend on which other k are asked for
    rest['shots'] = (4, )
    assert voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, **rest)['shots'] == {'4': four}
    with pytest.raises(MultiSSLError, match='from 1 on'):
        voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, shots=(0, ))


def test_low_shot_draws_k_positives_and_enough_negatives(monkeypatch):
    (x, y), (x_test, y_test) = blobs(120), blobs(seed=1)
    seen = []

    def record(function, tasks, *_):
        for task in tasks:
            seen.append(task)
            yield function(*task)

    monkeypatch.setattr(voc, '_parallel', record)
    voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, shots=(4, ), samples=2, costs=(1., ))
    for (_, _, c), _, _, rows, _, _, [(_, held_out), _] in seen:
        assert (y[rows, c] == 1).sum() == 4 and (y[rows, c] == -1).sum() == 8
        assert not held_out[rows].any() and len(set(rows)) == 12
        kept = np.setdiff1d(np.arange(120), rows)
        assert (held_out[kept] == y[kept, c]).all()
    assert len(seen) == 6


@pytest.mark.slow
def test_several_processes_fit_the_same(monkeypatch):
    monkeypatch.setattr(voc, 'SMALL', 0)
    data = (*blobs(), *blobs(seed=1), NAMES)
    one, two = (voc.evaluate_voc07(*data, jobs=jobs, progress=False) for jobs in (1, 2))
    assert one == two


# ---------------------------------------------------------------------- features

@pytest.fixture(scope='module')
def resnet50():
    cfg = Config(dict(model=dict(backbone=dict(type='mmpretrain.ResNet', depth=50))))
    return voc.build_backbone(cfg, 'random')


@pytest.mark.parametrize('layer, dimensions', zip(voc.LAYERS, (9216, 9216, 8192, 9216, 8192)))
def test_dimensions_of_resnet50(layer, dimensions, resnet50):
    model = voc.PooledFeatures(resnet50, layer)
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 224, 224)).shape == (1, dimensions)
    assert model.pooling.startswith('as specified')


def tiny_cfg(**backbone):
    return Config(dict(
        default_scope='mmpretrain',
        data_preprocessor=dict(mean=[0., 0., 0.], std=[255.] * 3, to_rgb=True),
        model=dict(type='None', backbone=dict(tiny.backbone(), **backbone))))


def test_layers_are_the_stages_and_small_pictures_are_pooled_adaptively():
    backbone = voc.build_backbone(tiny_cfg(), 'random')
    images = torch.rand(2, 3, 64, 64)
    stem = backbone.relu(backbone.bn1(backbone.conv1(images)))
    maps = [stem]
    x = backbone.maxpool(stem)
    for i in range(1, 5):
        x = getattr(backbone, f'layer{i}')(x)
        maps.append(x)
    for layer, feature in zip(voc.LAYERS, maps):
        model = voc.PooledFeatures(backbone, layer)
        grid = voc.LAYERS[layer].grid
        expected = torch.nn.functional.adaptive_avg_pool2d(feature, grid).flatten(1)
        torch.testing.assert_close(model(images), expected)
        assert model.pooling.startswith(f'adaptive, {feature.size(-1)}x')


def test_other_backbones_offer_their_last_output():
    vit = dict(type='mmpretrain.VisionTransformer', img_size=32, patch_size=16,
               arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16))
    backbone = voc.build_backbone(Config(dict(model=dict(backbone=vit))), 'random')
    model = voc.PooledFeatures(backbone, 'feat5')
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 8) and 'vectors' in model.pooling
    with pytest.raises(MultiSSLError, match='feat3 .*VisionTransformer use feat5'):
        voc.PooledFeatures(backbone, 'feat3')


def test_random_weights_depend_on_the_seed_alone():
    weights = [voc.build_backbone(tiny_cfg(), 'random', seed=seed).conv1.weight
               for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_normalisation_is_the_configs():
    assert voc.find_normalisation(tiny_cfg()) == voc.Normalisation((0, 0, 0), (255, 255, 255), True)
    assert voc.find_normalisation(Config(dict(model=dict()))) == voc.Normalisation()
    cfg = Config(dict(model=dict(data_preprocessor=dict(mean=[1, 2, 3], std=[1, 1, 1])),
                      data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True)))
    assert voc.find_normalisation(cfg) == voc.Normalisation((1, 2, 3), (1, 1, 1), False)


def test_pictures_are_resized_as_mmpretrain_does(tmp_path, scope):
    from mmpretrain.registry import TRANSFORMS
    noise = np.random.default_rng(0).integers(0, 255, (75, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'a.png')
    data = dict(img_path=str(tmp_path / 'a.png'))
    for transform in (dict(type='LoadImageFromFile'), dict(type='ResizeEdge', scale=256),
                      dict(type='Resize', scale=(224, 224))):
        data = TRANSFORMS.build(transform)(data)
    assert np.array_equal(voc.load_image(tmp_path / 'a.png'), data['img'][..., ::-1])
    assert voc.load_image(tmp_path / 'a.png', 32).shape == (32, 32, 3)


# ---------------------------------------------------------------------- checkpoints

@pytest.fixture
def weights():
    return {k: v + 1 for k, v in voc.build_backbone(tiny_cfg(), 'random').state_dict().items()}


@pytest.mark.parametrize('before', ['backbone.', 'module.backbone.', ''])
def test_every_weight_is_loaded(before, weights, tmp_path):
    saved = {before + k: v for k, v in weights.items() if not k.endswith('num_batches_tracked')}
    saved['fc.weight'] = torch.zeros(2)
    torch.save(dict(state_dict=saved), tmp_path / 'a.pth')
    loaded = voc.build_backbone(tiny_cfg(), str(tmp_path / 'a.pth')).state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in weights.items()
               if not k.endswith('num_batches_tracked'))


@pytest.mark.parametrize('change, said', [
    (lambda w: {f'backbone.{k}': v for k, v in w.items() if k != 'bn1.bias'}, 'missing: bn1.bias'),
    (lambda w: {f'backbone.{k}': v for k, v in [*w.items(), ('x.y', w['bn1.bias'])]},
     'unexpected: x.y'),
    (lambda w: {f'backbone.{k}': v[:4] if k == 'bn1.bias' else v for k, v in w.items()},
     r'another shape: bn1.bias \(4,\)'),
    (lambda w: {f'backbon.{k}': v for k, v in w.items()},
     "no key starts with 'backbone.'; its keys start with backbon."),
    (lambda w: {k: v for k, v in w.items() if k != 'bn1.bias'}, 'missing: bn1.bias'),
])
def test_weights_that_do_not_fit_are_refused(change, said, weights, tmp_path):
    torch.save(dict(state_dict=change(weights)), tmp_path / 'a.pth')
    with pytest.raises(MultiSSLError, match='a.pth: .*' + said):
        voc.build_backbone(tiny_cfg(), str(tmp_path / 'a.pth'))


# ---------------------------------------------------------------------- a tiny VOC2007

def write_voc(root, count=36):
    """Pictures of up to two coloured squares on noise; a class is a colour."""
    rng = np.random.default_rng(0)
    (root / 'JPEGImages').mkdir(parents=True)
    (root / 'ImageSets' / 'Main').mkdir(parents=True)
    for split, first in (('trainval', 0), ('test', count)):
        labels = rng.choice([1, -1], (count, len(COLOURS)))
        for i, row in enumerate(labels, first):
            image = rng.integers(90, 130, (48, 40, 3), dtype=np.uint8)
            for c, (label, colour) in enumerate(zip(row, COLOURS.values())):
                if label == 1:
                    image[:, c * 13:c * 13 + 13] = colour
            Image.fromarray(image).save(root / 'JPEGImages' / f'{i:06d}.jpg', quality=95)
        labels[0] = 0
        for c, name in enumerate(COLOURS):
            text = ''.join(f'{i:06d} {label:2d}\n' for i, label in enumerate(labels[:, c], first))
            (root / 'ImageSets' / 'Main' / f'{name}_{split}.txt').write_text(text)
        (root / 'ImageSets' / 'Main' / f'{split}.txt').write_text('no labels here\n')
    return root


@pytest.fixture(scope='module')
def voc_root(tmp_path_factory):
    return write_voc(tmp_path_factory.mktemp('voc') / 'VOC2007')


@pytest.fixture
def voc_copy(tmp_path):
    return write_voc(tmp_path / 'VOC2007', 4)


def test_end_to_end(voc_root, tmp_path, capsys):
    cfg = tiny_cfg()
    checkpoint = tmp_path / 'epoch_1.pth'
    weights = voc.build_backbone(cfg, 'random').state_dict()
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
    (tmp_path / 'cfg.json').write_text(json.dumps(tiny_cfg().to_dict()))
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
    (tmp_path / 'cfg.json').write_text(json.dumps(tiny_cfg().to_dict()))
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


def test_truncated_picture_ends_a_tool_with_one_line(voc_copy, capsys):
    path = voc_copy / 'JPEGImages/000001.jpg'
    path.write_bytes(path.read_bytes()[:900])

    def main():
        voc.run_voc07_svm(tiny_cfg(), 'random', str(voc_copy), workers=1, verbose=False)

    with pytest.raises(SystemExit):
        run_tool(main)
    assert re.fullmatch(r'error: .*000001.jpg: cannot be read as an image .*\n',
                        capsys.readouterr().err)
