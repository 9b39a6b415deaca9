"""What lists, indices and annotations name (F22, bug 23)."""
import json
import os
import pickle
from contextlib import nullcontext

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
from multissl_mm.utils.coco import _decoded
from multissl_mm.utils.listed import absent, check_inside
from multissl_mm.utils.permissions import ALLOW_OUTSIDE, TRUST_CHECKPOINT


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


def look(path, kind='mmpretrain.CustomDataset', **options):
    check_data(Config(dict(train_dataloader=dict(dataset=dict(
        type=kind, data_root=str(path.parent), ann_file=path.name, **options)))), ['train'])


@pytest.mark.parametrize('name', ['my.txt', 'my.lst', 'my'])
def test_lists_of_any_name(tmp_path, name):
    (tmp_path / name).write_text('a.png 0\n../../outside/x.JPEG 0\n')
    with pytest.raises(MultiSSLError, match=rf'{name}, line 2: \.\./\.\./outside/x.JPEG 0 leads'):
        look(tmp_path / name)
    (tmp_path / name).write_bytes(b'\xff\xfe\0')
    with pytest.raises(MultiSSLError, match=f'{name}: cannot be read as text'):
        look(tmp_path / name)
    look(tmp_path / name, 'mmpretrain.Flowers102')  # reads a .mat


@pytest.mark.parametrize('name, text', [
    ('a.pkl', pickle.dumps({})), ('a.PICKLE', b''),
    ('a.yml', b'data_list: !!python/object/apply:os.system [id]')])
def test_code_in_annotations(tmp_path, name, text, monkeypatch):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(MultiSSLError, match=f'dataset.ann_file: code in .*{name} would run.*'
                       '--trust-checkpoint'):
        look(tmp_path / name, 'mmpretrain.MultiLabelDataset')
    (tmp_path / 'a.yaml').write_text('data_list: []')
    look(tmp_path / 'a.yaml', 'mmpretrain.MultiLabelDataset')
    monkeypatch.setenv(TRUST_CHECKPOINT.variable, '1')
    look(tmp_path / name, 'mmpretrain.MultiLabelDataset')


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


def coco_config(root, with_mask=True, kind='mmdet.CocoDataset', classes=('car', )):
    return Config(dict(train_dataloader=dict(dataset=dict(
        type=kind, data_root=str(root), data_prefix=dict(img='train/'),
        ann_file='annotations/instances_train.json', metainfo=dict(classes=classes),
        pipeline=[dict(type='LoadAnnotations', with_bbox=True, with_mask=with_mask)]))))


@pytest.mark.parametrize('segmentation, message', [
    ([], 'has no mask'), (None, 'has no mask'), ([[1, 1, 4, 4]], 'has a polygon of 2 points'),
    ([[1, 1, 4, 1, 4, 4], [1, 1, 4, 4, 5, 5, 6]], 'has a polygon with half a point'),
    ([1, 1, 4, 1, 4, 4], 'neither polygons nor run lengths'), ('x', 'neither polygons nor'),
    (dict(counts='abc'), 'without counts or size'),
    (dict(counts=[100], size=[10, 10]), r'run lengths of 10 x 10 pixels, its picture 32 x 32'),
    (dict(counts=[5], size=[32, 32]), 'do not fill'),
    (dict(counts='!!bad', size=[32, 32]), 'do not fill'),
    (dict(counts=[-5, 1029], size=[32, 32]), 'do not fill'),
    ([[1, 1, 4, 1, 4, float('nan')]], 'neither')])
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
            (box(bbox=[1, 1, -3, 3]), ['a.png'], 'bbox of a negative width or height'),
            (box(), ['a.png', 'b.png'], r'b.png: no such image.*1 of 2 are missing'),
            (box(), ['a.png', '../b.png'], 'instances_train.json, image 2: ../b.png leads out')):
        write_coco(tmp_path, annotation, files=files)
        with pytest.raises(MultiSSLError, match=message):
            check_data(coco_config(tmp_path), ['train'])
    write_coco(tmp_path, box()).write_text('{"images": [3]}')
    with pytest.raises(MultiSSLError, match='no annotation file of COCO'):
        check_data(coco_config(tmp_path), ['train'])
    write_coco(tmp_path, box(segmentation=dict(counts=[1, 1023], size=[32, 32])))
    check_data(coco_config(tmp_path), ['train'])


def test_run_lengths():
    mask = pytest.importorskip('pycocotools.mask')
    pixels = np.asfortranarray(np.random.default_rng(0).random((70, 50)) < .02, np.uint8)
    text = mask.encode(pixels)['counts'].decode()
    runs = _decoded(text)
    assert sum(runs) == pixels.size and sum(runs[1::2]) == pixels.sum()
    changes = np.flatnonzero(np.diff(pixels.ravel('F'))) + 1
    assert runs == np.diff([0, *changes, pixels.size]).tolist()
    assert _decoded(text[:-1] + 'o') == []


def spoil(root, change):
    path = write_coco(root, box())
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    return path


@pytest.mark.parametrize('change, message', [
    (lambda d: d['annotations'][0].pop('id'), 'has no id'),
    (lambda d: d['annotations'][0].pop('image_id'), 'has no image_id'),
    (lambda d: d['annotations'][0].pop('category_id'), 'has no category_id'),
    (lambda d: d['annotations'].append('x'), "an annotation is 'x'"),
    (lambda d: d.update(annotations=3), 'annotations and categories must be lists'),
    (lambda d: d['annotations'].append(box()), 'two annotations have the same id'),
    (lambda d: d['images'].append(d['images'][0]), 'two images have the same id'),
    (lambda d: d['images'][0].update(width=0), 'image 1 has no width and height'),
    (lambda d: d['images'].clear(), 'has no images'),
    (lambda d: d['annotations'].clear(), 'has no annotations to learn from'),
    (lambda d: d.pop('annotations'), 'has no annotations to learn from'),
    (lambda d: d['categories'][0].update(id='1'), "id of the category car, '1', is no whole")])
def test_what_cannot_be_right_in_coco(tmp_path, change, message):
    spoil(tmp_path, change)
    with pytest.raises(MultiSSLError, match=f'instances_train.json.*{message}'):
        check_data(coco_config(tmp_path), ['train'])


def test_what_is_left_out_of_coco_is_said(tmp_path, capsys):
    write_coco(tmp_path, box())
    check_data(coco_config(tmp_path), ['train'])
    assert capsys.readouterr().out == ''
    write_coco(tmp_path, box(id=1), box(id=2, image_id=9), box(id=3, category_id=9),
               box(id=4, bbox=[1, 1, 0, 3]), box(id=5, bbox=[32, 1, 3, 3]))
    check_data(coco_config(tmp_path), ['train'])
    said = capsys.readouterr().out
    assert said.count('\n') == 1 and '4 of 5 annotations are left out: 1 of a picture' in said


def test_another_order_of_classes_is_said(tmp_path, capsys):
    for kind, said in (('mmdet.CocoDataset', 1), ('mmdet.Objects365V1Dataset', 0)):
        spoil(tmp_path, lambda d: d['categories'].insert(0, dict(id=2, name='bus')))
        check_data(coco_config(tmp_path, classes=('car', 'bus'), kind=kind), ['train'])
        assert capsys.readouterr().out.count('numbers them as') == said


@pytest.mark.parametrize('kind, known', [
    ('mmpretrain.CustomDataset', False), ('mmpretrain.ImageNet', False),
    ('mmdet.VOCDataset', False),
    ('mmdet.CityscapesDataset', False), ('multissl_mm.PictureFolder', True)])
def test_a_byte_order_mark_that_others_do_not_expect(tmp_path, kind, known):
    (tmp_path / 'list.txt').write_text('a.jpg 0\n', encoding='utf-8-sig')
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type=kind, data_root=str(tmp_path), ann_file='list.txt'))))
    with nullcontext() if known else pytest.raises(
            MultiSSLError, match='dataset.ann_file: .*list.txt begins with a byte-order mark'):
        check_data(cfg, ['train'])


def test_folders_and_marks_of_coco(tmp_path):
    path = write_coco(tmp_path, box())
    cfg = coco_config(tmp_path)
    cfg.train_dataloader.dataset.data_prefix.img = 'nothere/'
    with pytest.raises(MultiSSLError, match='dataset.data_prefix.img: .*nothere/ does not exist'):
        check_data(cfg, ['train'])
    path.write_text(path.read_text(), encoding='utf-8-sig')
    with pytest.raises(MultiSSLError, match='begins with a byte-order mark'):
        check_data(coco_config(tmp_path), ['train'])


@pytest.mark.parametrize('kind', [
    'mmdet.CityscapesDataset', 'mmdet.Objects365V1Dataset', 'mmdet.DeepFashionDataset',
    'mmdet.LVISV1Dataset', 'Unknown'])
def test_coco_is_known_by_what_is_in_it(tmp_path, kind):
    write_coco(tmp_path, box(), files=['../b.png'])
    with pytest.raises(MultiSSLError, match=r'image 1: \.\./b.png leads out'):
        check_data(coco_config(tmp_path, kind=kind), ['train'])


@pytest.mark.parametrize('classes, message', [
    (None, r'classes is not set, so that the classes are person, bicycle,.*are car: no person'),
    ('bus', r"is the text bus, .*\['bus'\]"), (['car', 'car'], 'has car more than once')])
def test_classes_of_coco(tmp_path, classes, message):
    pytest.importorskip('mmdet')
    write_coco(tmp_path, box())
    with pytest.raises(MultiSSLError, match=f'dataset.metainfo.{message}|dataset.metainfo.clas'
                       f'ses {message}'):
        check_data(coco_config(tmp_path, classes=classes), ['train'])


def two_splits(root, classes=('car', 'bus'), numbered=('car', 'bus'), **entries):
    for name, names in (('train', ('car', 'bus')), ('val', numbered)):
        path = spoil(root, lambda d, names=names: d.update(
            categories=[dict(id=i, name=name) for i, name in enumerate(names, 1)]))
        path.rename(root / f'{name}.json')
    cfg = coco_config(root, classes=('car', 'bus'))
    cfg.train_dataloader.dataset.ann_file = 'train.json'
    cfg.val_dataloader = coco_config(root, classes=classes).train_dataloader
    cfg.val_dataloader.dataset.ann_file = 'val.json'
    cfg.update(entries)
    return cfg


@pytest.mark.parametrize('options, message', [
    (dict(), None), (dict(classes=('bus', 'car')), 'val_.*.classes has .* order bus, car, train_'),
    (dict(numbered=('bus', 'car')), 'val_.*.ann_file has the classes in the order bus, car, train'),
    (dict(model=dict(roi_head=dict(bbox_head=[dict(num_classes=80)]))),
     r'model.roi_head.bbox_head.0.num_classes is 80, but train_.* has 2 classes, car, bus'),
    (dict(model=dict(roi_head=dict(mask_head=dict(num_classes=2)), rpn_head=dict(num_classes=1))),
     None)])
def test_classes_mean_the_same_everywhere(tmp_path, options, message):
    with pytest.raises(MultiSSLError, match=message) if message else nullcontext():
        check_data(two_splits(tmp_path, **options), ['train', 'val'])


@pytest.mark.parametrize('change, message', [
    (lambda d: d['categories'].pop(), r'metainfo.classes are car, bus, but .*other.json.* no bus'),
    (lambda d: d['categories'].reverse(), 'in the order bus, car'),
    (lambda d: d['images'][0].update(id=2), r'ann_file: .*other.json has not 1 of the 1 images'),
    (None, 'val_evaluator.0.ann_file: .*other.json does not exist'), (lambda d: None, None)])
def test_annotations_of_evaluators(tmp_path, change, message):
    other = tmp_path / 'other.json'
    cfg = two_splits(tmp_path, val_evaluator=[dict(type='mmdet.CocoMetric', ann_file=str(other))])
    if change is not None:
        found = json.loads((tmp_path / 'val.json').read_text())
        change(found)
        other.write_text(json.dumps(found))
    with pytest.raises(MultiSSLError, match=message) if message else nullcontext():
        check_data(cfg, ['train', 'val'])


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
