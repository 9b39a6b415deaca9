"""What lists, indices and annotations name (F22, bug 23)."""
import json
import os

import numpy as np
import pytest
from mmengine.config import Config
from pictures import write_voc
from PIL import Image

from multissl_mm.datasets import OmniAudioDataset, PictureFolder
from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.linear_segmentation import load_coco
from multissl_mm.evaluation.voc07 import load_voc2007
from multissl_mm.runtime import check_data
from multissl_mm.utils.listed import absent, check_inside
from multissl_mm.utils.permissions import ALLOW_OUTSIDE


@pytest.mark.parametrize('name, inside', [
    ('a.jpg', True), ('a/b..c.jpg', True), ('../a.jpg', False), ('a/../../b.jpg', False),
    ('/etc/passwd', False), ('a\\..\\..\\b.jpg', False)])
def test_names_stay_in_their_folder(name, inside, monkeypatch):
    if inside:
        check_inside(name, 'list.txt, line 1')
        return
    with pytest.raises(MultiSSLError, match=r'list.txt, line 1: .* leads out .*--allow-outside'):
        check_inside(name, 'list.txt, line 1')
    monkeypatch.setenv(ALLOW_OUTSIDE.variable, '1')
    check_inside(name, 'list.txt, line 1')
    for no_name in ('', None, 3, 'a\0b'):
        with pytest.raises(MultiSSLError, match='is no name of a file'):
            check_inside(no_name, 'list.txt, line 1')


def test_what_is_absent(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'b').write_text('')
    paths = [str(tmp_path / name) for name in ('a/b', 'a/c', 'd/e')]
    assert absent(paths) == paths[1:]


# ---------------------------------------------------------------------- who reads lists

def test_lists_of_voc(tmp_path):
    root = write_voc(tmp_path / 'voc', 4)
    for path in (root / 'ImageSets' / 'Main').glob('*_test.txt'):
        path.write_text(path.read_text().replace('000005', '../../x'))
    with pytest.raises(MultiSSLError, match=r'blue_test.txt, line 2: ../../x leads out'):
        load_voc2007(root)


def test_lists_of_pictures(tmp_path):
    (tmp_path / 'a').mkdir()
    Image.new('RGB', (8, 8)).save(tmp_path / 'a' / '1.png')
    for text, message in (('a/1.png 0\n../x.png 1\n', 'list.txt, line 2: ../x.png leads out'),
                          ('a/1.png 0\na/2.png 1\n', r'2.png: no such picture.*\(1 of 2 are mis'),
                          (b'\xff\xfe\0', 'list.txt: cannot be read as text')):
        (tmp_path / 'list.txt').write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(MultiSSLError, match=message):
            PictureFolder(str(tmp_path), ann_file='list.txt')
    (tmp_path / 'list.txt').write_text('a/1.png 0\n/etc/x.png 1\n')
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='mmpretrain.CustomDataset', data_root=str(tmp_path), ann_file='list.txt'))))
    with pytest.raises(MultiSSLError, match='list.txt, line 2: /etc/x.png 1 leads out'):
        check_data(cfg, ['train'])


def test_lists_of_mmengine(tmp_path):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='mmengine.BaseDataset', ann_file=str(tmp_path / 'list.json')))))
    (tmp_path / 'list.json').write_text(
        '{"data_list": [{"img_path": "a.png"}, {"img_path": "../b.png"}]}')
    with pytest.raises(MultiSSLError, match=r'list.json, data_list.1: \.\./b.png leads out'):
        check_data(cfg, ['train'])
    for text in ('{"data_list": [{"img_path": "a.png"}]}', '{"a": 1}\n{"a": 2}\n'):
        (tmp_path / 'list.json').write_text(text)
        check_data(cfg, ['train'])


def box(**changes):
    return dict(dict(id=7, image_id=1, category_id=1, iscrowd=0, area=9, bbox=[1, 1, 3, 3],
                     segmentation=[[1, 1, 4, 1, 4, 4]]), **changes)


def write_coco(root, *annotations, files=('a.png', )):
    for name in ('train', 'annotations'):
        (root / name).mkdir(exist_ok=True)
    Image.new('RGB', (32, 32)).save(root / 'train' / 'a.png')
    path = root / 'annotations' / 'instances_train.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=i, file_name=name, width=32, height=32) for i, name in enumerate(files, 1)],
        categories=[dict(id=1, name='car')], annotations=list(annotations))))
    return path


def coco_config(root, with_mask=True):
    return Config(dict(train_dataloader=dict(dataset=dict(
        type='mmdet.CocoDataset', data_root=str(root), data_prefix=dict(img='train/'),
        ann_file='annotations/instances_train.json',
        pipeline=[dict(type='LoadAnnotations', with_bbox=True, with_mask=with_mask)]))))


@pytest.mark.parametrize('segmentation, message', [
    ([], 'has no mask'), (None, 'has no mask'), ([[1, 1, 4, 4]], 'has a polygon of 2 points'),
    ([[1, 1, 4, 1, 4, 4], [1, 1, 4, 4, 5, 5, 6]], 'has a polygon with half a point'),
    ([1, 1, 4, 1, 4, 4], 'neither polygons nor run lengths'), ('x', 'neither polygons nor'),
    (dict(counts='abc'), 'without counts or size'), ([[1, 1, 4, 1, 4, float('nan')]], 'neither')])
def test_masks_of_coco(tmp_path, segmentation, message):
    """Bug 23: named before training, and before evaluation."""
    write_coco(tmp_path, box(id=6), box(segmentation=segmentation))
    for look in (lambda: check_data(coco_config(tmp_path), ['train']),
                 lambda: load_coco(tmp_path, 'train')):
        with pytest.raises(MultiSSLError, match=f'instances_train.json: annotation 7 of a.png .*'
                           f'{message}.*1 of 2 annotations cannot be used'):
            look()
    if not segmentation:
        check_data(coco_config(tmp_path, with_mask=False), ['train'])


def test_boxes_and_pictures_of_coco(tmp_path):
    for annotation, files, message in (
            (box(bbox=[1, 1, 3]), ['a.png'], 'annotation 7 of a.png has a bbox that is not four'),
            (box(), ['a.png', 'b.png'], r'b.png: no such image.*1 of 2 are missing'),
            (box(), ['a.png', '../b.png'], 'instances_train.json, image 2: ../b.png leads out')):
        write_coco(tmp_path, annotation, files=files)
        with pytest.raises(MultiSSLError, match=message):
            check_data(coco_config(tmp_path), ['train'])
    write_coco(tmp_path, box()).write_text('{"images": [3]}')
    with pytest.raises(MultiSSLError, match='no annotation file of COCO'):
        check_data(coco_config(tmp_path), ['train'])
    write_coco(tmp_path, box(segmentation=dict(counts=[1, 2], size=[32, 32])))
    check_data(coco_config(tmp_path), ['train'])


# ---------------------------------------------------------------------- the index of OmniAudio

def spoiled(scenes, tmp_path, spoil):
    index = json.loads((scenes / 'index.json').read_text())
    index['metainfo']['source'] = os.path.relpath(scenes.parent / 'omniaudio', tmp_path)
    spoil(index['data_list'][1])
    (tmp_path / 'index.json').write_text(json.dumps(index))
    return OmniAudioDataset(str(tmp_path), split=None)


@pytest.mark.parametrize('key, value, message', [
    ('video', '../../etc/passwd', 'index.json, scene 2: ../../etc/passwd leads out'),
    ('tracks', {'1': '/etc/passwd'}, 'index.json, scene 2: /etc/passwd leads out'),
    ('tracks', {}, 'is damaged .*scene 2 has the pair 0, but no track'),
    ('segments', [0., 'x'], 'is damaged .*scene 2 has something else where a number'),
    ('duration', None, 'is damaged .*scene 2 has something else'), ('pairs', 3, 'is damaged'),
])
def test_indices(scenes, tmp_path, key, value, message):
    with pytest.raises(MultiSSLError, match=message):
        spoiled(scenes, tmp_path, lambda entry: entry.update({key: value}))


def test_recordings_that_are_gone(scenes, tmp_path):
    with pytest.raises(MultiSSLError, match=r'_Tr1_gone.WAV: no such recording, though .*index.json'
                       r' lists it \(1 of 24 are missing\)'):
        spoiled(scenes, tmp_path, lambda entry: entry['tracks'].update(
            {'1': entry['tracks']['1'].replace('_Tr1', '_Tr1_gone')}))
    assert np.isfinite(len(spoiled(scenes, tmp_path, lambda entry: None)))
