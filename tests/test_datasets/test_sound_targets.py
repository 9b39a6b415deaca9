"""What downstream tasks are told, on scenes in OmniAudio's layout."""
import json
import shutil

import numpy as np
import pytest
import sounds
import torch

from multissl_mm.datasets import KeyedDataset, ViewKey
from multissl_mm.datasets.ear_pairs import EAR_PAIRS
from multissl_mm.datasets.sound_transforms import read_track
from multissl_mm.errors import MultiSSLError

CLIP = dict(type='multissl_mm.LoadClip', seconds=2., pair=0)
LABELS = dict(type='multissl_mm.LoadPanorama', keys=('labels', 'masks'))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return sounds.write_scenes(tmp_path_factory.mktemp('scenes'), 2)


def data(root, pipeline, keys, **kwargs):
    dataset = KeyedDataset(dict(
        type='multissl_mm.OmniAudioDataset', data_root=str(root), split=None,
        pipeline=[*pipeline, dict(type='multissl_mm.PackSound', keys=keys)], **kwargs))
    dataset.full_init()
    return dataset


def first(dataset, index=0):
    return dataset[ViewKey(0, 0, index)]['inputs']


def test_every_pair_of_every_segment(scenes):
    segments = len(data(scenes, [CLIP], ('clip', )))
    pairs = data(scenes, [dict(CLIP, pair='random')], ('clip', ), every_pair=True)
    assert len(pairs) == 4 * segments
    infos = [pairs[ViewKey(0, 0, i)]['data_samples'] for i in range(8)]
    assert [s.turn for s in infos] == [0, 1, 2, 3] * 2
    assert infos[0].start == infos[3].start != infos[4].start


def test_turned_pairs_are_the_next_ones(scenes):
    turned = data(scenes, [dict(CLIP, pair=2), dict(type='multissl_mm.LoadTurnedPairs')],
                  ('clip', 'turned'))
    inputs, info = first(turned, 3), turned.get_data_info(3)
    assert inputs['turned'].shape == (3, 2, 8000)
    for i, pair in enumerate((3, 0, 1)):
        for ear, track in enumerate(EAR_PAIRS[pair]):
            sound = read_track(info['tracks'][str(track)], info['start'], 2., info['sample_rate'])
            np.testing.assert_array_equal(inputs['turned'][i, ear], sound)


def test_in_a_mirror_the_right_is_the_left(scenes):
    """Turning right in a mirrored scene is turning left in the scene, with ears exchanged."""
    steps = [CLIP, dict(type='multissl_mm.LoadTurnedPairs'), LABELS]
    mirror = dict(type='multissl_mm.MirrorScene', prob=1.)
    target = dict(type='multissl_mm.LabelsToTargets')
    keys = ('clip', 'turned', 'semantics', 'restricted')
    plain = first(data(scenes, [*steps, target], keys), 1)
    mirrored = first(data(scenes, [*steps, mirror, target], keys), 1)
    for to, source in ((0, 2), (1, 1), (2, 0)):
        for ear in (0, 1):
            assert torch.equal(mirrored['turned'][to, ear], plain['turned'][source, 1 - ear])
    assert torch.equal(mirrored['clip'], plain['clip'].flip(0))
    for key in ('semantics', 'restricted'):
        assert torch.equal(mirrored[key], plain[key].flip(-1))


def test_targets_are_of_the_frame_in_the_middle(scenes):
    dataset = data(scenes, [CLIP, LABELS, dict(type='multissl_mm.LabelsToTargets', least=2)],
                   ('semantics', 'restricted', 'classes'))
    seen = set()
    for i in range(len(dataset)):
        info, inputs = dataset.get_data_info(i), first(dataset, i)
        labels, masks = (np.load(f'{info["arrays"]}/{name}.npy') for name in ('labels', 'masks'))
        start = int(info['start'] * 4)  # frames a second
        np.testing.assert_array_equal(inputs['semantics'], labels[start + 4])
        np.testing.assert_array_equal(
            inputs['restricted'], (labels[start + 4] > 0) & (masks[start + 4] > 0))
        clip = labels[start:start + 8]
        expected = [any((frame == k).sum() >= 2 for frame in clip) for k in range(1, 6)]
        assert inputs['classes'].tolist() == [float(e) for e in expected]
        seen |= set(inputs['semantics'].unique().tolist())
    assert len(seen) > 2


def without_front_pair(scenes, tmp_path):
    """As scenes 1 to 27 of OmniAudio are: no tracks 3 and 4 in the first scene."""
    root = tmp_path / 'converted'
    shutil.copytree(scenes, root)
    index = json.loads((root / 'index.json').read_text())
    index['metainfo']['source'] = str(scenes.parent / 'omniaudio')
    scene = index['data_list'][0]
    scene['pairs'] = [1, 2]
    for track in ('3', '4'):
        del scene['tracks'][track]
    (root / 'index.json').write_text(json.dumps(index))
    return root


def test_scenes_without_all_pairs(scenes, tmp_path):
    root = without_front_pair(scenes, tmp_path)
    steps = [dict(CLIP, pair='random'), dict(type='multissl_mm.LoadTurnedPairs')]
    whole = data(root, steps, ('turned', ), whole_scenes=True)
    assert {whole.get_data_info(i)['scene'] for i in range(len(whole))} == {2}
    assert len(data(root, steps, ('turned', ), whole_scenes=True, every_pair=True)) == \
        4 * len(whole)
    with pytest.raises(MultiSSLError, match='scene 1 has no track [34] of .*whole_scenes=True'):
        first(data(root, steps, ('turned', )))
    with pytest.raises(MultiSSLError, match='no segment.*with all ear pairs'):
        KeyedDataset(dict(type='multissl_mm.OmniAudioDataset', data_root=str(root), split='a',
                          splits=dict(a=(1, 1)), whole_scenes=True, pipeline=[])).full_init()


def test_more_labels_than_classes_are_named(scenes):
    target = dict(type='multissl_mm.LabelsToTargets', num_classes=1)
    dataset = data(scenes, [CLIP, LABELS, target], ('semantics', ))
    with pytest.raises(MultiSSLError, match='labels of scene . go up to .*num_classes is 1'):
        for i in range(len(dataset)):
            first(dataset, i)


def test_scenes_without_labels_are_left_out(scenes, tmp_path):
    """As where only some recordings have been labelled."""
    root = tmp_path / 'converted'
    shutil.copytree(scenes, root)
    index = json.loads((root / 'index.json').read_text())
    index['metainfo']['source'] = str(scenes.parent / 'omniaudio')
    index['data_list'][0]['arrays'].remove('labels')
    (root / 'index.json').write_text(json.dumps(index))
    labelled = data(root, [CLIP, LABELS], ('labels', ), needs=('labels', ))
    assert {labelled.get_data_info(i)['scene'] for i in range(len(labelled))} == {2}
    assert len(data(root, [CLIP], ('clip', ))) > len(labelled)
    with pytest.raises(MultiSSLError, match='no segment.*those with labels and speech'):
        data(root, [CLIP], ('clip', ), needs=('labels', 'speech'))
