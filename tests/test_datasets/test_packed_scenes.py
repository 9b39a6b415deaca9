"""Scenes in tar files are those of the folder: samples, sounds, panoramas and digests."""
import json
import random
import shutil
import tarfile

import numpy as np
import pytest
import torch

from multissl_mm.analysis import verify
from multissl_mm.converters.packing import pack_data
from multissl_mm.datasets import (
    LoadClip,
    LoadOtherSlice,
    LoadPanorama,
    LoadTurnedPairs,
    OmniAudioDataset,
)
from multissl_mm.errors import MultiSSLError

KEYS = ('flow', 'foreground', 'frames', 'masks', 'labels')


def dataset(root, **options):
    return OmniAudioDataset(data_root=str(root), split=None, pipeline=[
        LoadClip(max_shift=1.), LoadOtherSlice(), LoadTurnedPairs(), LoadPanorama(KEYS)], **options)


def sample(data, index):
    random.seed(index)
    return {key: value for key, value in data[index].items() if isinstance(value, torch.Tensor)}


def behind_urls(packed):
    index = packed / 'shards.json'
    index.write_text(index.read_text().replace('shard-', f'file://{packed}/shard-'))


@pytest.mark.parametrize('where', ['folder', 'disks', 'URL'])
def test_the_same_samples(scenes, tmp_path, where):
    disks = [tmp_path / 'a', tmp_path / 'b'] if where == 'disks' else []
    packed = tmp_path / 'packed'
    pack_data(scenes, packed, disks=disks, shard_mb=1)
    assert len(list(tmp_path.rglob('*.tar'))) > 2
    if where == 'URL':
        behind_urls(packed)
    one, other = dataset(scenes), dataset(packed)
    assert len(one) == len(other) and one.content_digest() == other.content_digest()
    assert one.metainfo == other.metainfo
    for index in (0, 5, len(one) - 1):
        found, expected = sample(other, index), sample(one, index)
        assert found.keys() == expected.keys() > {'clip', 'other', 'turned', *KEYS}
        for key, value in expected.items():
            assert torch.equal(found[key], value), key


def test_of_a_recording_a_part_is_read(scenes, tmp_path, monkeypatch):
    from multissl_mm.utils import shards
    pack_data(scenes, tmp_path)
    data, sizes, read = dataset(tmp_path), [], shards._read
    monkeypatch.setattr(shards, 'LOCAL', 2 ** 12)
    monkeypatch.setattr(shards, '_read', lambda *where: sizes.append(where[2]) or read(*where))
    info = data.get_data_info(len(data) - 1)
    LoadClip(pair=0)(info)
    assert 2 * 8000 * 2 <= sum(sizes) < 4 * 8000 * 2  # both ears, 2 s at 4 kHz, 16 bits


def test_all_is_there_and_can_be_verified(scenes, tmp_path):
    """Unpacked in its place the new folder is what the old one was."""
    pack_data(scenes, tmp_path)
    data = dataset(tmp_path)
    files = list(verify._named_by(data))
    assert len({file.path for file in files}) == 3 * (8 + 4)
    assert {verify._look(file) for file in files[:12]} == {('recordings', None), ('arrays', None)}
    expected, packed = sample(data, 0), json.loads((tmp_path / 'shards.json').read_text())
    for shard in packed['shards']:
        with tarfile.open(tmp_path / shard['path']) as tar:
            tar.extractall(tmp_path)
    (tmp_path / 'shards.json').unlink()
    found = dataset(tmp_path)
    assert not any(path.startswith('tar:') for path in found[0]['tracks'].values())
    for key, value in sample(found, 0).items():
        np.testing.assert_array_equal(value, expected[key])


def test_errors_are_for_people(scenes, tmp_path):
    source, packed = tmp_path / 'source' / 'converted', tmp_path / 'packed'
    shutil.copytree(scenes, source)
    with pytest.raises(MultiSSLError, match='no such recording, though .*index.json lists it'):
        pack_data(source, packed)
    shutil.copytree(scenes.parent / 'omniaudio', tmp_path / 'source' / 'omniaudio')
    (source / 'scene0001' / 'flow.npy').unlink()
    pack_data(source, packed)
    data = dataset(packed)
    with pytest.raises(MultiSSLError, match='flow.npy cannot be read .*omniaudio.py writes it'):
        data[0]
    (source / 'index.json').write_text('[]')  # somebody else's
    assert pack_data(source, tmp_path / 'other') > 10
    assert not (tmp_path / 'other' / 'index.json').exists()
