"""A packed folder is the folder: samples, bytes, labels and digests."""
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from multissl_mm.converters.packing import pack_data
from multissl_mm.datasets import LoadImage, PictureFolder, PictureShards
from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.content import data_digest
from multissl_mm.utils.shards import parse_member

NAMES = ('train/n2/a.JPEG', 'train/n1/b.png', 'train/n1/a#1 ?2+3#.jpg', 'val/n1/c.JPEG')


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'folder'
    for i, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
    (root / 'meta').mkdir()
    (root / 'meta/val.txt').write_text('n1/c.JPEG 7\n')
    return root


@pytest.mark.parametrize('disks', [0, 2])
def test_the_same_samples(folder, tmp_path, disks):
    disks = [tmp_path / f'disk{i}' for i in range(disks)]
    # A tar file for every picture.
    assert pack_data(folder, tmp_path / 'packed', disks=disks, shard_mb=1e-4) == 5
    tars = sorted(tmp_path.rglob('*.tar'))
    assert len(tars) == 5 and {tar.parent for tar in tars} == set(disks or [tmp_path / 'packed'])
    assert tarfile.open(tars[0]).getnames()  # any tool reads them
    for kwargs in (dict(split='train'), dict(split='val'), dict()):
        one = PictureFolder(str(folder), **kwargs)
        other = PictureShards(str(tmp_path / 'packed'), **kwargs)
        assert len(one) == len(other) > 0 and one.metainfo == other.metainfo
        for a, b in zip(one, other):
            assert a['gt_label'] == b['gt_label']
            assert a['img_path'].endswith(parse_member(b['img_path'])[3])
            np.testing.assert_array_equal(*(LoadImage()(dict(d))['img'] for d in (a, b)))
        assert data_digest(one) == data_digest(other)


def test_names_may_be_written_in_other_ways(folder, tmp_path):
    pack_data(folder, tmp_path / 'packed')
    (folder / 'meta/train.txt').write_text('./n2//a.JPEG 1\nn1/b.png 0\nn2/a.JPEG 2\n')
    pack_data(folder, tmp_path / 'listed')
    for kwargs in (dict(ann_file='./meta/val.txt', data_prefix='./val/'), dict(data_prefix='./'),
                   dict(data_prefix='val/../train'), dict(split='train')):
        data = [cls(f'{tmp_path}//{name}/', **kwargs) for cls, name in (
            (PictureFolder, 'folder'), (PictureShards, 'listed'))]
        names = [[os.path.basename(info['img_path']) for info in each] for each in data]
        assert names[0] == names[1] and len(names[0]) > 0
        assert [i['gt_label'] for i in data[0]] == [i['gt_label'] for i in data[1]]
    with pytest.raises(MultiSSLError, match='meta/gone.txt: no such list among the packed files'):
        PictureShards(str(tmp_path / 'packed'), ann_file='meta/gone.txt')


def test_a_folder_that_is_packed_again_is_read_anew(folder, tmp_path):
    for colour in (10, 200):
        Image.new('L', (40, 40), colour).save(folder / 'train/n1/b.png')
        pack_data(folder, tmp_path / 'packed')
        data = PictureShards(str(tmp_path / 'packed'), 'train')
        found, = (LoadImage()(d)['img'] for d in data if 'b.png' in d['img_path'])
        assert (found == colour).all()


def test_the_same_folder_gives_the_same_bytes(folder, tmp_path):
    packed = []
    for out in ('a', 'b'):
        pack_data(folder, tmp_path / out)
        packed.append([(tmp_path / out / name).read_bytes()
                       for name in ('shard-00000.tar', 'shards.json')])
    assert packed[0] == packed[1]


def test_behind_fsspec(folder, tmp_path):
    """A URL in the index, as of a bucket."""
    pack_data(folder, tmp_path / 'packed')
    index = tmp_path / 'packed/shards.json'
    index.write_text(index.read_text().replace('shard-', f'file://{tmp_path}/packed/shard-'))
    data = PictureShards(str(tmp_path / 'packed'), 'train')
    assert data[0]['img_path'].startswith('tar://file::/')
    expected = LoadImage()(PictureFolder(str(folder), 'train')[0])['img']
    np.testing.assert_array_equal(LoadImage()(data[0])['img'], expected)


@pytest.mark.parametrize('path', ['../outside/shard-00000.tar', '/etc/passwd',
                                  '/x/../shard-00000.tar'])
def test_an_index_stays_in_its_folder(folder, tmp_path, path):
    pack_data(folder, tmp_path / 'packed')
    index = tmp_path / 'packed/shards.json'
    index.write_text(index.read_text().replace('shard-00000.tar', path))
    with pytest.raises(MultiSSLError, match=f'shards.json: {path} leads out .*--allow-outside'):
        PictureShards(str(tmp_path / 'packed'))


def test_errors_are_for_people(folder, tmp_path):
    out = tmp_path / 'packed'
    with pytest.raises(MultiSSLError, match='x: no such folder'):
        pack_data(tmp_path / 'x', out)
    with pytest.raises(MultiSSLError, match=r'no such index; write it with .*pack\.py'):
        PictureShards(str(out))
    pack_data(folder, out)
    with pytest.raises(MultiSSLError, match='has train/ and val/, but no test/'):
        PictureShards(str(out), 'test')
    shard = out / 'shard-00000.tar'
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(MultiSSLError, match=r'shard-00000.tar has \d+ bytes, not'):
        PictureShards(str(out))
    shard.unlink()
    with pytest.raises(MultiSSLError, match='is not there'):
        PictureShards(str(out))
    (out / 'shards.json').write_text('{}')
    with pytest.raises(MultiSSLError, match='is damaged'):
        PictureShards(str(out))
