"""Pictures in; representations, the nearest pictures and pictures of feature maps out."""
import json
import warnings

import numpy as np
import pytest
import sounds
import torch
from commands import run_tool
from mmengine.config import Config
from pictures import COLOURS, encoder_config
from PIL import Image

from multissl_mm.apis import ImageInferencer, image_inferencer
from multissl_mm.apis.feature_pictures import principal_colours
from multissl_mm.errors import MultiSSLError


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Three pictures of each of three colours, in folders, two of them larger than the others."""
    root, rng = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir()
        for i in range(3):
            noise = rng.integers(-20, 20, (48, 64 if i else 96, 3))
            image = (noise + colour).clip(0, 255).astype(np.uint8)
            Image.fromarray(image).save(root / name / f'{name}{i}.png')
    (root / 'notes.txt').touch()
    return root


@pytest.fixture(scope='module')
def infer():
    return ImageInferencer(encoder_config(), 'random', device='cpu', image_size=64)


def test_features_are_the_encoders(infer, folder):
    path = folder / 'red' / 'red1.png'
    prediction, = infer(path)['predictions']
    image = infer.read(str(path))
    assert image.shape == (3, 64, 85)  # its shape is kept
    maps = infer.model(image[None])
    torch.testing.assert_close(prediction['map'], maps[-1][0])
    torch.testing.assert_close(prediction['representation'], maps[-1].mean((2, 3))[0])
    assert set(prediction) == {'file', 'representation', 'map'}


def test_batches_are_of_one_size(infer, folder):
    one = infer(folder)['predictions']
    assert [p['file'] for p in one] == sorted(map(str, folder.glob('*/*.png')))
    many = infer(folder, batch_size=4)['predictions']
    assert {tuple(p['map'].shape[1:]) for p in one} == {(2, 3), (2, 4)}
    for a, b in zip(one, many):
        torch.testing.assert_close(a['representation'], b['representation'], rtol=1e-4, atol=1e-5)


def test_the_nearest_pictures(infer, folder):
    found = infer([folder / 'red' / 'red0.png', folder / 'blue' / 'blue1.png'],
                  gallery=folder, top=2)['predictions']
    for prediction, colour in zip(found, ('red', 'blue')):
        nearest = prediction['nearest']
        assert [n['file'].split('/')[-2] for n in nearest] == [colour] * 2
        assert prediction['file'] not in [n['file'] for n in nearest]  # itself
        assert 1 >= nearest[0]['similarity'] >= nearest[1]['similarity']
    gallery = infer.index(folder, batch_size=2)
    again = infer(folder / 'red' / 'red0.png', gallery=gallery, top=99)['predictions'][0]
    assert again['nearest'][:2] == found[0]['nearest'] and len(again['nearest']) == 8
    own = torch.nn.functional.normalize(found[0]['representation'], dim=0)
    best = gallery.files.index(again['nearest'][0]['file'])
    assert again['nearest'][0]['similarity'] == pytest.approx(
        (own @ gallery.representations[best]).item(), abs=1e-3)


def test_the_same_colour_is_the_same_feature_in_all_maps():
    torch.manual_seed(0)
    kinds = torch.randn(4, 16)
    where = [torch.randint(4, (3, 5)), torch.randint(4, (4, 2))]
    maps = [kinds[w].permute(2, 0, 1) for w in where]
    colours = principal_colours(maps)
    assert [c.shape for c in colours] == [(3, 5, 3), (4, 2, 3)] and colours[0].dtype == np.uint8
    both = [(int(k), tuple(c)) for w, m in zip(where, colours)
            for k, c in zip(w.flatten(), m.reshape(-1, 3).tolist())]
    assert len(set(both)) == len({k for k, _ in both}) == 4
    assert {c for m in colours for c in m.flatten().tolist()} >= {0, 255}  # the whole range


def test_maps_in_which_nothing_differs_are_grey():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        colours, = principal_colours([torch.ones(8, 2, 3)])
    assert (colours == 128).all()
    line = torch.arange(6.).view(1, 2, 3).expand(8, 2, 3)  # one component has all of it
    colours, = principal_colours([line])
    assert set(colours[..., 0].flatten()) > {0, 255} and (colours[..., 1:] == 128).all()


def test_pictures_of_features(infer, tmp_path):
    rng = np.random.default_rng(0)
    half = rng.integers(0, 20, (64, 96, 3), dtype=np.uint8)
    half[:, 48:, 0] += 220
    Image.fromarray(half).save(tmp_path / 'half.png')
    wide = ImageInferencer(encoder_config(), 'random', device='cpu', image_size=256)
    file, = wide(tmp_path / 'half.png', out_dir=str(tmp_path / 'out'))['visualization']
    assert file == str(tmp_path / 'out' / 'half_features.png')
    with Image.open(file) as picture:
        drawn = np.asarray(picture).astype(int)
    assert drawn.shape == (320, 2 * 480 + 8, 3)
    assert drawn[100, 400].tolist()[0] > 200 and drawn[100, 100, 0] < 60  # the picture itself
    left, right = drawn[100:200, 488 + 60:488 + 140], drawn[100:200, 488 + 340:488 + 420]
    assert np.abs(left.mean((0, 1)) - right.mean((0, 1))).max() > 60


@pytest.mark.parametrize('change, text', [
    (lambda path: path.write_bytes(path.read_bytes()[:60]), 'a.png: cannot be read as an image'),
    (lambda path: path.write_text('no picture'), 'a.png: cannot be read as an image'),
    (lambda path: path.unlink(), 'a.png: cannot be read as an image'),
    (lambda path: Image.new('RGB', (40, 15)).save(path), '40 x 15 px is too small'),
    (lambda path: Image.new('RGB', (800, 20)).save(path), '800 x 20 px is too small or too narrow'),
])
def test_bad_pictures_are_named(infer, tmp_path, change, text):
    path = tmp_path / 'a.png'
    Image.new('RGB', (40, 40)).save(path)
    change(path)
    with pytest.raises(MultiSSLError, match=text):
        infer(str(path))


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(image_inferencer, 'print_log', lambda line, **_: lines.append(line))
    return lines


def test_what_cannot_be_done(infer, folder, tmp_path, monkeypatch, said):
    red = str(folder / 'red' / 'red1.png')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(MultiSSLError, match='empty: no picture in it'):
        infer(tmp_path / 'empty')
    with pytest.raises(MultiSSLError, match='empty: no picture in it'):
        infer(red, gallery=tmp_path / 'empty')
    with pytest.raises(MultiSSLError, match='gone: no such folder'):
        infer(red, gallery=str(tmp_path / 'gone'))
    with pytest.raises(MultiSSLError, match='the list of inputs is empty'):
        infer([])
    (tmp_path / 'red1.png').write_bytes((folder / 'red' / 'red1.png').read_bytes())
    assert len(infer([red, tmp_path / 'red1.png'])['predictions']) == 2
    with monkeypatch.context() as patch:
        patch.setattr(infer, 'forward', lambda *_, **__: pytest.fail('names come first'))
        with pytest.raises(MultiSSLError, match='two files have the same name') as error:
            infer([red, str(folder / 'red' / 'red2.png'), tmp_path / 'red1.png'],
                  out_dir=str(tmp_path))
        assert 'red2' not in str(error.value)
    small = ImageInferencer(encoder_config(), 'random', device='cpu', image_size=32)
    result = small(red, out_dir=str(tmp_path))
    assert result['predictions'][0]['map'].shape == (64, 1, 2) and result['visualization'] == []
    assert 'of 32 px is 1 x 2, too small; give a larger image_size' in said[0]
    with pytest.raises(MultiSSLError, match='its encoder takes sounds; use .*SoundInferencer'):
        ImageInferencer(sounds.sound_config('b', tmp_path, tmp_path), 'random')


def test_backbones_that_give_vectors(tmp_path, said):
    vit = dict(type='mmpretrain.VisionTransformer', img_size=32, patch_size=16,
               arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16))
    Image.new('RGB', (40, 40)).save(tmp_path / 'a.png')
    infer = ImageInferencer(Config(dict(model=dict(backbone=vit))), 'random', 'cpu', 32)
    result = infer(tmp_path / 'a.png', out_dir=str(tmp_path))
    prediction, = result['predictions']
    assert prediction['representation'].shape == (8, ) and 'map' not in prediction
    assert not result['visualization'] and 'VisionTransformer gives vectors' in said[0]


def test_the_command_line(folder, tmp_path):
    (tmp_path / 'cfg.json').write_text(json.dumps(encoder_config().to_dict()))
    out = tmp_path / 'out'
    done = run_tool('infer_image.py', tmp_path / 'cfg.json', 'random', folder, '--gallery',
                    folder / 'red', '--top', 1, '--image-size', 64, '--device', 'cpu', '--out', out)
    assert done.status == 0 and 'red1.png: ' in done.out, done.err
    written = json.loads((out / 'predictions.json').read_text())
    assert len(written) == 9 and all(len(entry['nearest']) == 1 for entry in written)
    arrays = np.load(out / 'predictions.npz')
    assert arrays['representation'].shape == (9, 64)
    assert arrays['map_0'].shape == (64, 2, 4) and arrays['map_1'].shape == (64, 2, 3)
    assert len(list(out.glob('*_features.png'))) == 9 and not list(out.glob('.*'))
