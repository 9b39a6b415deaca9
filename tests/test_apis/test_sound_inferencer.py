"""Recordings in; representations, maps, other directions, retrieved videos out."""
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import sounds
import torch
from commands import run_tool
from mmengine.config import Config
from PIL import Image
from tiny import CONFIGS

from multissl_mm.apis import SoundInferencer, load_encoder, write_predictions
from multissl_mm.apis.panorama_pictures import read_panorama
from multissl_mm.datasets import CLASSES
from multissl_mm.errors import MultiSSLError
from multissl_mm.registry import DATASETS, MODELS

RATE = sounds.HOW.rate


@pytest.fixture(scope='module')
def street(tmp_path_factory):
    """A binaural recording of 5 s at twice the rate of the scenes."""
    path = tmp_path_factory.mktemp('street') / 'street.wav'
    sound = np.random.default_rng(0).normal(0, .1, (10 * RATE, 2))
    soundfile.write(path, sound, 2 * RATE)
    return path


def trained(task, scenes, folder, **changes):
    """Config and checkpoint as a run leaves them."""
    encoder = sounds.sound_config('b', scenes, folder).model.backbone
    if task == 'b':
        cfg = sounds.sound_config('b', scenes, folder)
    else:
        cfg = sounds.downstream_config(task, scenes, folder, dict(
            encoder, init_cfg=dict(type='Pretrained', checkpoint='gone.pth', prefix='backbone.')))
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in changes.items()})
    plain = cfg.model.copy()
    plain.backbone.pop('init_cfg', None)
    model = MODELS.build(dict(plain, data_preprocessor=cfg.data_preprocessor))
    cfg.dump(folder / f'{task}.py')
    torch.save(dict(state_dict=model.state_dict()), folder / 'last.pth')
    return str(folder / f'{task}.py'), str(folder / 'last.pth')


def test_a_map_over_the_panorama(scenes, street, tmp_path):
    infer = SoundInferencer(*trained('sp', scenes, tmp_path), device='cpu')
    assert infer.sample_rate == RATE
    video = scenes.parent / 'omniaudio' / 'scene0001' / 'VIDEO_0001_cropped.mp4'
    result = infer(str(street), panorama=str(video), out_dir=str(tmp_path / 'out'), batch_size=2)
    first, second = result['predictions']  # of 5 s, two whole pieces
    assert (first['start'], second['start']) == (0., 2.)
    assert first['scores'].shape == (6, 16, 64) and first['semantics'].shape == (16, 64)
    assert first['representation'].shape == (16, )
    torch.testing.assert_close(first['scores'].sum(0), torch.ones(16, 64))
    assert torch.equal(first['scores'].argmax(0), first['semantics'])
    assert len(result['visualization']) == 2
    assert read_panorama(result['visualization'][1], 0.).std() > 10
    again = infer([str(street)])  # one at a time, nothing written
    assert again['visualization'] == []
    torch.testing.assert_close(again['predictions'][1]['scores'], second['scores'], rtol=1e-4,
                               atol=1e-5)


def test_other_directions_as_sound(scenes, street, tmp_path):
    """With the decoder as it starts, the head hears the same in all directions."""
    infer = SoundInferencer(*trained('s3r', scenes, tmp_path), device='cpu')
    result = infer(str(street), out_dir=str(tmp_path / 'out'))
    assert [f[-7:-4] for f in result['visualization']] == ['d90', '180', '270']
    pieces = [clip for _, clip in infer.pieces(str(street))]
    for file in result['visualization']:
        sound, rate = soundfile.read(file, dtype='float32')
        assert rate == RATE and sound.shape == (4 * RATE, 2)
        np.testing.assert_allclose(sound.T, torch.cat(pieces, 1).numpy(), atol=1e-4)


def test_videos_that_fit(scenes, street, tmp_path):
    infer = SoundInferencer(*trained('vr', scenes, tmp_path), device='cpu')
    found = infer(str(street), top=3)['predictions'][0]['retrieved']
    assert len(found) == 3 and all(entry['scene'] == 3 for entry in found)
    similar = [entry['similarity'] for entry in found]
    assert similar == sorted(similar, reverse=True)
    assert len({entry['start'] for entry in found}) == 3


def test_the_representation_is_that_of_the_encoder_alone(scenes, street, tmp_path):
    config, weights = trained('sp', scenes, tmp_path)
    infer, encoder = SoundInferencer(config, weights, device='cpu'), load_encoder(config, weights)
    clips = torch.stack([clip for _, clip in infer.pieces(str(street))])
    for vector, prediction in zip(encoder.embed(clips), infer(str(street))['predictions']):
        torch.testing.assert_close(vector, prediction['representation'], rtol=1e-4, atol=1e-5)


def test_a_pretraining_model_gives_representations(scenes, street, tmp_path):
    infer = SoundInferencer(*trained('b', scenes, tmp_path), device='cpu')
    result = infer(str(street), out_dir=str(tmp_path / 'out'))
    assert set(result['predictions'][0]) == {'file', 'start', 'representation'}
    assert not (tmp_path / 'out').exists()


def test_the_command_line(scenes, street, tmp_path):
    out = tmp_path / 'out'
    done = run_tool('infer_sound.py', *trained('sp', scenes, tmp_path), street, '--out', out,
                    '--device', 'cpu')
    assert done.status == 0 and 'street.wav' in done.out, done.err
    written = json.loads((out / 'predictions.json').read_text())
    assert [entry['start'] for entry in written] == [0., 2.]
    assert set(written[0]) == {'file', 'start'}
    arrays = np.load(out / 'predictions.npz')
    assert arrays['scores'].shape == (2, 6, 16, 64)
    assert len(list(out.glob('street_*.png'))) == 2 and not list(out.glob('.*'))


@pytest.fixture(scope='module')
def infer(scenes, tmp_path_factory):
    paths = map(Path, trained('sp', scenes, tmp_path_factory.mktemp('sp')))
    return SoundInferencer(*paths, device='cpu')


@pytest.mark.parametrize('kind, text', [
    ('mono', 'has 1 channels; it needs two'),
    ('short', 'lasts 1.00 s; it needs 2 s'),
    ('nan', 'not finite between 2 and 4 s'),
    ('text', 'cannot be read'),
    ('missing', 'cannot be read'),
])
def test_bad_recordings_are_named(infer, tmp_path, kind, text):
    path = tmp_path / f'{kind}.wav'
    sound = np.zeros((5 * RATE, 2), np.float32)
    if kind == 'nan':
        sound[3 * RATE] = np.nan
    if kind == 'text':
        path.write_text('no sound')
    elif kind != 'missing':
        sound = sound[:RATE] if kind == 'short' else sound[:, 0] if kind == 'mono' else sound
        soundfile.write(path, sound, RATE, subtype='FLOAT')
    with pytest.raises(MultiSSLError, match=f'{kind}.wav.*{text}'):
        infer(str(path))


def test_bad_panoramas_are_named(infer, street, scenes, tmp_path):
    (tmp_path / 'bad.png').write_text('no picture')
    (tmp_path / 'bad.mp4').write_text('no video')
    for name, text in (('bad.png', 'read as an image'), ('bad.mp4', 'decoded')):
        with pytest.raises(MultiSSLError, match=f'{name}:? cannot be {text}'):
            infer(str(street), panorama=str(tmp_path / name), out_dir=str(tmp_path / 'out'))
    video = scenes.parent / 'omniaudio' / 'scene0001' / 'VIDEO_0001_cropped.mp4'
    for ending in ('.webp', '.tif'):  # bug 40: a panorama is whatever is a picture, by any path
        Image.new('RGB', (64, 32)).save(tmp_path / f'p{ending}')
        assert infer(street, panorama=tmp_path / f'p{ending}', out_dir=tmp_path / 'out')[
            'visualization']
    with pytest.raises(MultiSSLError, match='VIDEO_0001_cropped.mp4 ends before 99.00 s'):
        read_panorama(str(video), 99.)


def test_wrong_weights_and_unknown_rate(scenes, tmp_path):
    config, _ = trained('sp', scenes, tmp_path)
    (tmp_path / 'b').mkdir()
    _, other = trained('b', scenes, tmp_path / 'b')
    with pytest.raises(MultiSSLError, match='does not fit the SemanticPrediction.*decoder'):
        SoundInferencer(config, other)
    cfg = Config.fromfile(config)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.dataset.data_root = str(tmp_path / 'gone')
    with pytest.raises(MultiSSLError, match='rate.*give sample_rate'):
        SoundInferencer(cfg, str(tmp_path / 'last.pth'))
    assert SoundInferencer(cfg, str(tmp_path / 'last.pth'), sample_rate=8000).sample_rate == 8000
    with pytest.raises(MultiSSLError, match='nowhere.py: no such config'):
        SoundInferencer('nowhere.py', str(tmp_path / 'last.pth'))


def meta_of_a_run(config):
    """As a runner writes it into its checkpoints."""
    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    dataset.full_init()
    return dict(dataset_meta=dataset.metainfo)


def test_a_map_does_not_depend_on_the_data_being_there(scenes, street, tmp_path):
    """E9: size, rows, rate and classes come with the checkpoint."""
    config, weights = trained('sp', scenes, tmp_path)
    checkpoint = torch.load(weights)
    torch.save(dict(checkpoint, meta=meta_of_a_run(config)), weights)
    here = SoundInferencer(config, weights, device='cpu')
    cfg = Config.fromfile(config)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.dataset.data_root = str(tmp_path / 'gone')
    elsewhere = SoundInferencer(cfg, weights, device='cpu')
    assert elsewhere.sample_rate == RATE and elsewhere.classes == CLASSES
    assert list(elsewhere.data_meta['rows']) == [.25, .75]
    first, second = (infer(str(street))['predictions'][0]['semantics']
                     for infer in (here, elsewhere))
    assert first.shape == (16, 64) and torch.equal(first, second)
    # Where both say something the checkpoint is right: other data may lie in that folder.
    meta = dict(classes=('a', 'b', 'c', 'd', 'e'), size=(8, 32), sample_rate=2000)
    torch.save(dict(checkpoint, meta=dict(dataset_meta=meta)), weights)
    other = SoundInferencer(config, weights, device='cpu')
    assert other.sample_rate == 2000 and other.classes == ('a', 'b', 'c', 'd', 'e')
    assert other(str(street))['predictions'][0]['semantics'].shape == (8, 32)


def test_old_checkpoints_do_with_the_data(scenes, street, tmp_path):
    """E9: those before say the classes alone."""
    config, weights = trained('sp', scenes, tmp_path)
    torch.save(dict(torch.load(weights), meta=dict(dataset_meta=dict(classes=CLASSES))), weights)
    infer = SoundInferencer(config, weights, device='cpu')
    assert infer.sample_rate == RATE
    assert infer(str(street))['predictions'][0]['semantics'].shape == (16, 64)


def test_nothing_to_look_at(infer, tmp_path):
    """M13: an empty list was an IndexError."""
    with pytest.raises(MultiSSLError, match='the list of inputs is empty'):
        infer([])
    write_predictions([], tmp_path)
    assert json.loads((tmp_path / 'predictions.json').read_text()) == []
    assert not np.load(tmp_path / 'predictions.npz').files


def test_what_would_be_written_twice(infer, street, tmp_path):
    (tmp_path / 'a').mkdir()
    twin, other = tmp_path / 'a' / street.name, tmp_path / 'other.wav'
    for path in (twin, other):
        path.write_bytes(street.read_bytes())
    with pytest.raises(MultiSSLError, match='two files have the same name.*street.wav'):
        infer([str(street), str(twin)], out_dir=str(tmp_path / 'out'))
    with pytest.raises(MultiSSLError, match='one panorama, but there are 2 recordings'):
        infer([str(street), str(other)], panorama='a.png', out_dir=str(tmp_path / 'out'))
    assert len(infer([str(street), str(other)])['predictions']) == 4


def test_a_config_without_a_model(scenes, tmp_path):
    config = CONFIGS / 'sound/demo/concat_b_c.py'
    _, weights = trained('sp', scenes, tmp_path)
    with pytest.raises(MultiSSLError, match='concat_b_c.py has only a backbone'):
        SoundInferencer(str(config), weights)


def test_weights_of_parts_are_not_looked_for(scenes, street, tmp_path):
    """Of progressive columns each may have had its own."""
    config, weights = trained('sp', scenes, tmp_path)
    cfg = Config.fromfile(config)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='gone.pth')
    cfg.model.decoder.init_cfg = dict(type='Pretrained', checkpoint='gone, too.pth')
    assert SoundInferencer(cfg, weights, device='cpu')(str(street))['predictions']
