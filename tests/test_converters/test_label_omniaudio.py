"""Labels of real recordings: where the model's answers end up, and what is said of bad input."""
import json
import os
import shutil
import sys

import numpy as np
import pytest
import sounds
import torch
from commands import run_tool

from multissl_mm.converters.omniaudio import convert, label_omniaudio, labels
from multissl_mm.datasets import LoadClip, LoadPanorama, OmniAudioDataset, sound_transforms
from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce.store import Store
from multissl_mm.simulation.omniaudio import write_omniaudio
from multissl_mm.utils.files import atomic_path

BY = dict(config='m.py', checkpoint='m.pth')
MIDDLES = [4, 12, 20]  # frames at 1, 3 and 5 s


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """Three scenes of 6 s; the third came with labels, the others are like real ones."""
    root = tmp_path_factory.mktemp('scenes')
    write_omniaudio(root / 'public', 5, 3, sounds.HOW._replace(seconds=6.), workers=1)
    for n in (1, 2):
        (root / 'public' / f'scene{n:04d}' / f'LABELS_{n:04d}.npz').unlink()
    convert(root / 'public', root / 'out', sounds.CONVERTED)
    return root


@pytest.fixture
def out(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / 'scenes') / 'out'


def rows_as_classes(picture):
    """Says 1 to 4 in the quarters of the height; only the two in the middle are stored."""
    assert picture.shape == (32, 64, 3) and picture.dtype == np.uint8
    return np.repeat(np.arange(1, 5, dtype=np.uint8), 8)[:, None].repeat(64, axis=1)


def label(out, segment=rows_as_classes, by=BY):
    return labels.label(out, by, lambda: segment)


def arrays_of(out):
    return [e['arrays'] for e in json.loads((out / 'index.json').read_text())['data_list']]


def test_labels_are_of_the_middle_frame_and_of_what_moves(out):
    given = np.load(out / 'scene0003' / 'labels.npy')
    assert label(out) == ([1, 2], [], [3], {})
    np.testing.assert_array_equal(np.load(out / 'scene0003' / 'labels.npy'), given)
    for n in (1, 2):
        found = np.load(out / f'scene000{n}' / 'labels.npy')
        masks = np.load(out / f'scene000{n}' / 'masks.npy')
        assert found.shape == masks.shape == (24, 16, 64) and found.dtype == np.uint8
        expected = np.zeros_like(found)
        expected[MIDDLES, :8], expected[MIDDLES, 8:] = 2, 3
        np.testing.assert_array_equal(found, expected * masks)
        assert found.any()
    assert all('labels' in arrays for arrays in arrays_of(out))


def test_what_needs_no_labels_sees_the_same_data(out):
    """After it whatever had been trained without labels was of other data, and trained again."""
    def digests():
        readers = [OmniAudioDataset(str(out), split=None, pipeline=[LoadPanorama([key])])
                   for key in ('frames', 'labels')]
        store = Store(out / 'runs')
        return [store.data(str(out), labels=False), readers[0].content_digest(),
                store.data(str(out)), readers[1].content_digest()]

    before = digests()
    assert before[0] == before[2]  # those of the third scene are the recordings' own
    label(out)
    after = digests()
    assert after[:2] == before[:2] and after[2] != before[2] and after[3] != before[3]
    label(out, by=dict(BY, config='other.py'))
    assert digests()[:2] == before[:2] and digests()[2] != after[2]


@pytest.mark.parametrize('fps', [1.5, 2.5, 4., 4.3, 5., 7.5, 10., 29.97])
def test_what_is_labelled_is_what_is_learned(monkeypatch, tmp_path, fps):
    """Where 2 s are an odd number of frames, the targets of every second segment were empty."""
    monkeypatch.setattr(sound_transforms, '_read_pair', lambda *_: torch.zeros(2, 1))
    frames = round(24 * fps)
    entry = dict(segments=[2. * i for i in range(12)], duration=24., frames=frames)
    np.save(tmp_path / 'labels.npy', np.arange(frames)[:, None, None].repeat(8, axis=2))
    target = sound_transforms.LabelsToTargets(num_classes=frames)
    learned = [int(target(LoadPanorama(['labels'])(LoadClip(2.)(dict(
        scene=1, start=start, duration=24., fps=fps, pairs=[0], sample_rate=4000,
        arrays=str(tmp_path)))))['semantics'].unique()) for start in entry['segments']]
    assert labels.middles(entry, fps, 2.) == learned


def test_arrays_that_are_replaced_are_read_anew(tmp_path):
    results = dict(start=0., seconds=1., duration=1., fps=4., turn=0, arrays=str(tmp_path))
    for label in (2, 5):
        with atomic_path(tmp_path / 'labels.npy') as part, open(part, 'wb') as file:
            np.save(file, np.full((4, 2, 8), label))
        assert (LoadPanorama(['labels'])(dict(results))['labels'] == label).all()


def test_labels_of_other_frames_are_made_again(out):
    label(out)
    assert json.loads((out / 'scene0001' / 'scene.json').read_text())['labelled_by'] == BY
    convert(out.parent / 'public', out, sounds.CONVERTED._replace(fps=2.5))
    label(out)
    note = out / 'scene0001' / 'scene.json'
    noted = json.loads(note.read_text())
    assert noted['labelled_by'] == dict(BY, frames=[2, 7, 12])
    note.write_text(json.dumps(dict(noted, labelled_by=BY)))  # frames 2, 8 and 12 were labelled
    assert label(out) == ([1], [2], [3], {})
    assert json.loads(note.read_text()) == noted


def test_the_model_sees_the_frame_that_is_stored(out):
    seen = []
    label(out, lambda picture: seen.append(picture) or rows_as_classes(picture))
    stored = np.concatenate([np.load(out / f'scene000{n}' / 'frames.npy')[MIDDLES] for n in (1, 2)])
    np.testing.assert_array_equal(np.stack(seen)[:, 8:24], stored)


def test_labelled_scenes_are_kept_by_both_tools_and_can_be_read(out):
    label(out)
    with atomic_path(out / 'scene0001' / 'labels.npy') as part:  # of an interrupted run
        shutil.copyfile(out / 'scene0001' / 'labels.npy', part)
    part = part.with_name(part.name.replace(f'.{os.getpid()}.', '.999999999.'))
    part.write_text('half')
    before = (out / 'scene0001' / 'labels.npy').stat().st_mtime_ns
    assert labels.label(out, BY, lambda: pytest.fail('nothing to do')) == ([], [1, 2], [3], {})
    convert(out.parent / 'public', out, sounds.CONVERTED)
    assert (out / 'scene0001' / 'labels.npy').stat().st_mtime_ns == before
    assert not part.exists()
    assert all('labels' in arrays for arrays in arrays_of(out))
    sample = OmniAudioDataset(data_root=str(out), split=None).get_data_info(0)
    assert LoadPanorama(keys=('labels', ))(LoadClip()(sample))['labels'].any()
    assert label(out, by=dict(BY, checkpoint='better.pth')).now == [1, 2]


def test_an_interrupted_run_is_gone_on_with(out):
    calls = []

    def interrupted(picture):
        calls.append(0)
        if len(calls) == 5:  # in scene 2
            raise KeyboardInterrupt
        return rows_as_classes(picture)

    with pytest.raises(KeyboardInterrupt):
        label(out, interrupted)
    assert not (out / 'scene0002' / 'labels.npy').exists()
    assert label(out) == ([2], [1], [3], {})
    assert all('labels' in arrays for arrays in arrays_of(out))


def test_bad_scenes_are_named_and_the_others_done(out):
    video = out.parent / 'public' / 'scene0001' / 'VIDEO_0001_cropped.mp4'
    video.write_bytes(video.read_bytes()[:500])
    result = label(out)
    assert result.now == [2] and 'VIDEO_0001_cropped.mp4 cannot be decoded' in result.bad[1]
    (out / 'scene0001' / 'masks.npy').unlink()
    assert 'masks.npy cannot be read' in label(out).bad[1]
    (out / 'scene0001' / 'scene.json').write_text('{"opt')
    assert 'scene0001/scene.json cannot be read' in label(out).bad[1]
    assert not list(out.glob('scene*/.labels*'))


def test_what_is_missing_is_named(out, monkeypatch):
    with pytest.raises(MultiSSLError, match='m.py: no such file'):
        label_omniaudio(out, 'm.py', 'm.pth')
    monkeypatch.setitem(sys.modules, 'mmseg.apis', None)
    with pytest.raises(MultiSSLError, match='pip install onedl-mmsegmentation'):
        labels.load_segmenter('m.py', 'm.pth', 'cpu')


CONFIG = '''
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[0] * 3, std=[255] * 3,
                           bgr_to_rgb=True, size_divisor=8, pad_val=0, seg_pad_val=255),
    backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, num_stages=4,
                  out_indices=(0, 1, 2, 3), norm_cfg=norm_cfg),
    decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1,
                     concat_input=False, num_classes=19, norm_cfg=norm_cfg),
    test_cfg=dict(mode='whole'))
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
'''


def test_a_model_of_mmsegmentation(out, tmp_path):
    """One that says "train" whatever it sees: all that moves is a tram."""
    pytest.importorskip('mmseg')
    from mmseg.apis import init_model
    from mmseg.utils import get_classes
    config, checkpoint = tmp_path / 'm.py', tmp_path / 'm.pth'
    config.write_text(CONFIG)
    classes = get_classes('cityscapes')
    assert classes[16] == 'train'
    state = init_model(str(config), device='cpu').state_dict()
    state['decode_head.conv_seg.weight'].zero_()
    state['decode_head.conv_seg.bias'].copy_(torch.eye(19)[16])
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(meta=meta, state_dict=state), checkpoint)
    done = run_tool('dataset_converters/label_omniaudio.py', out, config, checkpoint)
    assert done.status == 0, done.err
    assert '2 scenes labelled' in done.out and '1 scenes came with labels' in done.out
    found = np.load(out / 'scene0001' / 'labels.npy')
    masks = np.load(out / 'scene0001' / 'masks.npy')
    np.testing.assert_array_equal(found[MIDDLES], 3 * masks[MIDDLES])
    assert found.any() and not np.delete(found, MIDDLES, axis=0).any()

    segment = labels.load_segmenter(str(config), str(checkpoint), 'cpu')
    assert segment(np.zeros((32, 64, 3), np.uint8)).shape == (32, 64)
    torch.save(dict(meta=dict(dataset_meta=dict(classes=['road'] * 19)), state_dict=state),
               checkpoint)
    with pytest.raises(MultiSSLError, match='not bus, car, train.*trained on Cityscapes'):
        labels.load_segmenter(str(config), str(checkpoint), 'cpu')
    torch.save(dict(state_dict=state), checkpoint)
    with pytest.raises(MultiSSLError, match="m.pth has no 'meta'"):
        labels.load_segmenter(str(config), str(checkpoint), 'cpu')
    del state['decode_head.conv_seg.bias']
    torch.save(dict(meta=meta, state_dict=state), checkpoint)
    with pytest.raises(MultiSSLError, match='m.pth lacks decode_head.conv_seg.bias'):
        labels.load_segmenter(str(config), str(checkpoint), 'cpu')
