"""OmniAudio's segments as they come out of files, and what is said when files are bad."""
import json
import random
import shutil

import numpy as np
import pytest
import soundfile
import sounds
import torch
from mmengine.dataset import Compose

from multissl_mm.datasets import (
    EAR_PAIRS,
    KeyedDataset,
    LoadClip,
    LoadOtherSlice,
    LoadPanorama,
    MirrorScene,
    OmniAudioDataset,
    PackSound,
    SceneGroupSampler,
    SoundToNoise,
    ViewKey,
)
from multissl_mm.errors import MultiSSLError


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
    return sounds.write_scenes(tmp_path_factory.mktemp('omniaudio'))


@pytest.fixture
def copy(converted, tmp_path):
    """Scenes that may be spoilt."""
    shutil.copytree(converted.parent, tmp_path / 'data')
    return tmp_path / 'data' / 'converted'


def dataset(root, pipeline=(), split='train', **kwargs):
    return OmniAudioDataset(data_root=str(root), split=split, pipeline=list(pipeline),
                            splits=dict(train=(1, 2), val=(3, 3), test=(9, 9)), **kwargs)


def sample(root, index=3, *transforms):
    if root not in sample.opened:
        sample.opened[root] = dataset(root)
    return Compose(transforms)(sample.opened[root].get_data_info(index))


sample.opened = {}


def track(root, scene, number):
    return root.parent / 'omniaudio' / f'scene{scene:04d}' / f'SCENE_{scene:04d}_Tr{number}.WAV'


def test_segments_by_scene_and_split(converted):
    train, val = dataset(converted), dataset(converted, split='val')
    assert len(train) == 24 and len(val) == 12
    assert train.scenes() == [1] * 12 + [2] * 12 and set(val.scenes()) == {3}
    assert [train.get_data_info(i)['start'] for i in range(12)] == [2. * i for i in range(12)]
    everything = dataset(converted, split=None)
    assert len(everything) == 36
    with pytest.raises(MultiSSLError, match="split 'test' .scenes 9 to 9.*scenes 1 to 3"):
        len(dataset(converted, split='test'))
    with pytest.raises(MultiSSLError, match="split is 'night'; splits are train, val, test"):
        dataset(converted, split='night')


@pytest.mark.parametrize('pair', range(4))
def test_a_clip_is_that_piece_of_those_two_files(converted, pair):
    results = sample(converted, 14, LoadClip(pair=pair))
    expected = [soundfile.read(track(converted, 2, n), dtype='float32')[0][16000:24000]
                for n in EAR_PAIRS[pair]]
    assert results['start'] == 4. and results['turn'] == pair
    np.testing.assert_array_equal(results['clip'], np.stack(expected))


def test_recordings_of_another_rate_are_resampled(converted):
    plain = sample(converted, 14, LoadClip(pair=0))['clip']
    for rate in (8000, 3000):
        results = sample(converted, 14, LoadClip(pair=0, sample_rate=rate), LoadOtherSlice())
        clip = results['clip']
        assert clip.shape == results['other'].shape == (2, 2 * rate)
        # The same spectrum below the lower of both rates' halves.
        n, m = (torch.fft.rfft(c, dim=1).abs()[:, 1:2400] / c.size(1) for c in (plain, clip))
        torch.testing.assert_close(n, m, atol=2e-4, rtol=.1)


def test_only_the_piece_is_read(converted, monkeypatch):
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, 'read',
                        lambda self, frames=-1, **kw: asked.append(frames) or read(
                            self, frames, **kw))
    sample(converted, 3, LoadClip(), LoadOtherSlice())
    assert asked == [8000] * 4


def test_the_panorama_is_turned_with_the_pair(converted):
    flow = np.load(converted / 'scene0002' / 'flow.npy')[16:24].astype(np.float32)
    for pair in range(4):
        results = sample(converted, 14, LoadClip(pair=pair), LoadPanorama())
        assert results['flow'].shape == (8, 2, 16, 64)
        expected = np.roll(flow, -16 * pair, axis=2).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(results['flow'], expected)
    assert np.abs(flow).max() > .5


def test_foreground_and_labels(converted):
    results = sample(converted, 14, LoadClip(pair=1),
                     LoadPanorama(keys=('foreground', 'frames', 'labels')))
    foreground, labels = results['foreground'], results['labels']
    assert foreground.shape == (8, 3, 16, 64) and labels.shape == (8, 16, 64)
    moving = foreground.amax(1) > 0
    assert .001 < moving.float().mean() < .5
    assert (foreground.eq(results['frames']) | foreground.eq(0)).all()


def test_gap_and_second_slice_belong_together(converted):
    gaps = []
    for seed in range(40):
        random.seed(seed)
        results = sample(converted, 3, LoadClip(pair=0), LoadOtherSlice(max_seconds=10.))
        whole, _ = soundfile.read(track(converted, 1, 3), dtype='float32')
        gap = results['gap'].item() * 8
        gaps.append(gap)
        starts = [round((6 + sign * gap) * 4000) for sign in (-1, 1)]
        assert any(s >= 0 and np.array_equal(whole[s:s + 8000], results['other'][0])
                   for s in starts)
    assert 0 <= min(gaps) < 1.5 and 6.5 < max(gaps) <= 8
    with pytest.raises(MultiSSLError, match='scene 1 lasts 24.0 s.*LoadOtherSlice.max_seconds'):
        for _ in range(60):
            sample(converted, 6, LoadClip(), LoadOtherSlice(max_seconds=40.))


def test_a_mirrored_scene_is_mirrored_altogether(converted):
    steps = [LoadClip(pair=0), LoadOtherSlice(), LoadPanorama(keys=('flow', 'labels'))]
    random.seed(1)
    plain = sample(converted, 3, *steps, MirrorScene(prob=0.))
    random.seed(1)
    mirrored = sample(converted, 3, *steps, MirrorScene(prob=1.))
    for key in ('clip', 'other'):
        assert torch.equal(mirrored[key], plain[key].flip(0))
    assert torch.equal(mirrored['labels'], plain['labels'].flip(-1))
    assert torch.equal(mirrored['flow'][:, 0], -plain['flow'][:, 0].flip(-1))
    assert torch.equal(mirrored['flow'][:, 1], plain['flow'][:, 1].flip(-1))


def test_noise_has_the_power_and_nothing_else(converted):
    plain = sample(converted, 3, LoadClip(pair=0))['clip']
    noise = sample(converted, 3, LoadClip(pair=0), SoundToNoise())['clip']
    assert noise.square().mean().item() == pytest.approx(plain.square().mean().item(), rel=.1)
    assert abs(torch.corrcoef(torch.stack([plain[0], noise[0]]))[0, 1]) < .05
    assert noise[0].square().mean().item() == pytest.approx(noise[1].square().mean().item(), rel=.1)


def test_shifts_begin_with_a_frame_and_stay_inside(converted):
    starts = {sample(converted, i, LoadClip(max_shift=.9))['start']
              for i in (0, 3, 11) for _ in range(15)}
    assert all(0 <= s <= 22 and (4 * s).is_integer() for s in starts)
    assert len(starts) > 12


def test_the_same_key_gives_the_same_sample(converted):
    pipeline = [dict(type='multissl_mm.LoadClip', max_shift=.5),
                dict(type='multissl_mm.LoadOtherSlice'),
                dict(type='multissl_mm.LoadPanorama'), dict(type='multissl_mm.MirrorScene'),
                dict(type='multissl_mm.DrawRotation'),
                dict(type='multissl_mm.PackSound',
                     keys=('clip', 'other', 'gap', 'flow', 'rotation', 'scene'))]
    cfg = dict(type='multissl_mm.OmniAudioDataset', data_root=str(converted), split=None,
               pipeline=pipeline)
    keyed = KeyedDataset(cfg)
    first, again, other = (keyed[ViewKey(0, r, 5)] for r in (0, 0, 1))
    assert all(torch.equal(first['inputs'][k], again['inputs'][k]) for k in first['inputs'])
    assert not torch.equal(first['inputs']['clip'], other['inputs']['clip'])
    assert first['inputs']['scene'] == 1 and first['data_samples'].sample_idx == 5
    assert len(keyed.fingerprint()['data']) == 16


# ---------------------------------------------------------------------- groups

def sampler(root, **kwargs):
    return SceneGroupSampler(KeyedDataset(dataset(root)), seed=3, **kwargs)


def test_groups_are_of_one_scene_and_new_every_epoch(converted):
    made = sampler(converted, group_size=5)
    assert len(made) == 20
    epochs = []
    for epoch in (0, 1, 0):
        made.set_epoch(epoch)
        keys = list(made)
        assert len(keys) == 20 and len({k.index for k in keys}) == 20
        assert all(k.replica == epoch and k.seed == 3 for k in keys)
        for i in range(0, 20, 5):
            assert len({k.index // 12 for k in keys[i:i + 5]}) == 1
        epochs.append([k.index for k in keys])
    assert epochs[0] == epochs[2] != epochs[1]
    made.replicas = 1
    made.set_epoch(7)
    assert {k.replica for k in made} == {0}


def test_ranks_get_whole_groups(converted, monkeypatch):
    seen = []
    for rank in range(3):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 3))
        made = sampler(converted, group_size=4)
        keys = [k.index for k in made]
        assert len(keys) == len(made) == 8
        for i in (0, 4):
            assert len({k // 12 for k in keys[i:i + 4]}) == 1
        seen += keys
    assert len(set(seen)) == 24


def test_groups_that_cannot_be_made_are_refused(converted, images):
    with pytest.raises(MultiSSLError, match='group_size is 13, but of 2 scenes only 0 groups'):
        sampler(converted, group_size=13)
    with pytest.raises(MultiSSLError, match='needs a dataset whose scenes'):
        SceneGroupSampler([1, 2, 3])


# ---------------------------------------------------------------------- bad input

def load(root, index=3):
    cfg = dict(type='multissl_mm.OmniAudioDataset', data_root=str(root), split='train',
               splits=dict(train=(1, 2)),
               pipeline=[dict(type='multissl_mm.LoadClip', pair=0),
                         dict(type='multissl_mm.LoadPanorama', keys=('labels', ))])
    return KeyedDataset(cfg)[ViewKey(0, 0, index)]


def test_a_track_that_was_cut_off(copy):
    path = track(copy, 1, 3)
    path.write_bytes(path.read_bytes()[:44 + 2 * 25000])
    with pytest.raises(MultiSSLError, match='scene0001/SCENE_0001_Tr3.WAV ends at 6.25 s'):
        load(copy)


def test_a_track_of_another_rate_or_with_two_channels(copy):
    sound = np.zeros((96000, 2))
    soundfile.write(track(copy, 1, 3), sound[:, 0], 8000)
    with pytest.raises(MultiSSLError, match='_Tr3.WAV has 1 channels at 8000 Hz.*1 at 4000 Hz'):
        load(copy)
    soundfile.write(track(copy, 1, 3), sound, 4000)
    with pytest.raises(MultiSSLError, match='_Tr3.WAV has 2 channels at 4000 Hz'):
        load(copy)


def test_a_track_that_is_gone_or_no_sound(copy):
    track(copy, 1, 3).write_bytes(b'no sound at all')
    with pytest.raises(MultiSSLError, match='_Tr3.WAV cannot be read'):
        load(copy)
    track(copy, 1, 3).unlink()
    with pytest.raises(MultiSSLError, match='_Tr3.WAV: no such recording, though .*index.json'):
        load(copy)


def test_samples_that_are_not_numbers(copy):
    sound = np.random.default_rng(0).normal(0, .1, 96000).astype(np.float32)
    sound[26000] = np.nan
    soundfile.write(track(copy, 1, 8), sound, 4000, subtype='FLOAT')
    with pytest.raises(MultiSSLError, match='_Tr8.WAV has a sample that is not a number at 6.50 s'):
        load(copy)


def test_arrays_that_are_gone_or_too_short(copy):
    path = copy / 'scene0001' / 'labels.npy'
    labels = np.load(path)
    np.save(path, labels[:20])
    with pytest.raises(MultiSSLError, match='scene0001/labels.npy has 20 frames.*up to 32'):
        load(copy)
    (copy / 'scene0002' / 'labels.npy').unlink()
    with pytest.raises(MultiSSLError, match='labels.npy cannot be read.*label_omniaudio.py'):
        load(copy, 14)


def test_an_index_that_cannot_be_used(copy):
    path = copy / 'index.json'
    index = json.loads(path.read_text())
    for text, message in (
            (path.read_text()[:200], 'index.json is damaged'),
            (json.dumps(dict(index, metainfo={})), 'index.json is damaged'),
            (json.dumps(dict(index, metainfo=dict(index['metainfo'], version=0))), 'version 0'),
            (json.dumps(dict(index, data_list=[])), 'has no scene')):
        path.write_text(text)
        with pytest.raises(MultiSSLError, match=message):
            load(copy)
    path.unlink()
    with pytest.raises(MultiSSLError, match='no such index.*omniaudio.py'):
        load(copy)


def test_what_a_scene_or_a_pipeline_lacks(converted):
    data = dataset(converted).get_data_info(0)
    data['pairs'] = [1, 2]
    assert {LoadClip()(dict(data))['turn'] for _ in range(30)} == {1, 2}
    with pytest.raises(MultiSSLError, match=r'scene 1 has no front pair .*\(3, 8\)'):
        LoadClip(pair=0)(data)
    with pytest.raises(MultiSSLError, match='PackSound.keys names flow'):
        sample(converted, 0, LoadClip(), PackSound(keys=('clip', 'flow')))
    with pytest.raises(MultiSSLError, match="LoadPanorama.keys has .'depth'."):
        LoadPanorama(keys=('depth', ))


def content(root):
    return KeyedDataset(dataset(root)).fingerprint()['data']


def test_scenes_may_move(converted, copy):
    """R6"""
    assert content(converted) == content(copy)


@pytest.mark.parametrize('change', ['size', 'rows', 'sounds', 'scene', 'segments'])
def test_panoramas_of_another_size_or_other_recordings_are_other_data(converted, copy, change):
    """R6: what was recorded from 16 x 64 panoramas was accepted for others."""
    index = json.loads((copy / 'index.json').read_text())
    if change in ('size', 'rows'):
        index['metainfo'][change] = [[32, 64], [0., 1.]][change == 'rows']
    elif change == 'segments':
        index['data_list'][0]['segments'].pop()
    elif change == 'sounds':
        with open(track(copy, 2, 5), 'ab') as file:
            file.write(b'\0\0')
    else:  # converted anew: what the converter notes of a scene says so
        noted = copy / 'scene0001' / 'scene.json'
        noted.write_text(noted.read_text().replace('"content"', '"content of another day"'))
    (copy / 'index.json').write_text(json.dumps(index))
    assert content(converted) != content(copy)
