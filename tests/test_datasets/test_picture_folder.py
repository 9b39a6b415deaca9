"""A plain folder of pictures is enough to pretrain."""
import numpy as np
import pytest
import tiny
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

from multissl_mm.datasets import PictureFolder
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import RunOptions, train


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(path)


@pytest.fixture
def plain(tmp_path):
    """Eight pictures at any depth, in any format."""
    for name in ('a.jpg', 'b.PNG', 'x/c.webp', 'x/y/z/d.tif', 'y/e.bmp', 'y/f.jpeg', 'y/g.JPG',
                 'y/1/h.ppm'):
        write(tmp_path / 'plain' / name)
    return tmp_path / 'plain'


def test_any_nesting(plain):
    data = PictureFolder(str(plain), 'train')
    names = [info['img_path'][len(str(plain)) + 1:] for info in data]
    assert names == ['a.jpg', 'b.PNG', 'x/c.webp', 'x/y/z/d.tif', 'y/1/h.ppm', 'y/e.bmp',
                     'y/f.jpeg', 'y/g.JPG']
    assert [data.get_cat_ids(i)[0] for i in range(8)] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert data.metainfo['classes'] == ('', 'x', 'y')


@pytest.mark.parametrize('listed', [False, True])
def test_imagenet_s_layout_is_as_mmpretrain_has_it(scope, tmp_path, listed):
    for name in ('train/n2/a.JPEG', 'train/n1/b.JPEG', 'train/n1/a.JPEG', 'val/n1/c.JPEG'):
        write(tmp_path / name)
    if listed:
        (tmp_path / 'meta').mkdir()
        (tmp_path / 'meta' / 'train.txt').write_text('n2/a.JPEG 7\nn1/b.JPEG 3\n')
    own = PictureFolder(str(tmp_path), 'train')
    theirs = DATASETS.build(dict(type='mmpretrain.ImageNet', data_root=str(tmp_path),
                                 split='train', metainfo=dict(classes=['n1', 'n2'])))
    assert [own.get_data_info(i) for i in range(len(own))] == [
        theirs.get_data_info(i) for i in range(len(theirs))]


def test_another_split_is_not_taken_for_it(plain):
    (plain / 'val').mkdir()
    with pytest.raises(MultiSSLError, match="val/, but no train/.*split=''"):
        PictureFolder(str(plain), 'train')
    assert len(PictureFolder(str(plain))) == 8


@pytest.mark.parametrize('text, words', [
    ('../a.jpg 0', 'line 1: ../a.jpg leads out of the folder'), ('/etc/a.jpg', 'leads out'),
    ('', 'lists no picture'), ('none.jpg', 'none.jpg: no such picture')])
def test_lists_are_checked(plain, text, words):
    """F22"""
    (plain / 'list.txt').write_text(text)
    with pytest.raises(MultiSSLError, match=words):
        PictureFolder(str(plain), ann_file='list.txt')


def test_lists_may_have_a_bom_and_no_labels(plain):
    (plain / 'list.txt').write_text('x/c.webp\n\ny/e.bmp\n', encoding='utf-8-sig')
    data = PictureFolder(str(plain), ann_file='list.txt')
    assert [info['img_path'] for info in data] == [str(plain / 'x/c.webp'), str(plain / 'y/e.bmp')]


def config(plain, work_dir, **options):
    """The real config with the dataset as it is, but for its folder."""
    cfg = tiny.tiny_config('mocov2', plain, work_dir, train_cfg__max_epochs=1, **options)
    dataset = Config.fromfile(tiny.CONFIGS / 'mocov2.py').train_dataloader.dataset.dataset
    dataset.pipeline = cfg.train_dataloader.dataset.dataset.pipeline
    cfg.train_dataloader.dataset.dataset = dataset
    cfg.dump(work_dir.with_suffix('.py'))
    return RunOptions(str(work_dir.with_suffix('.py')), cfg_options={
        'train_dataloader.dataset.dataset.data_root': str(plain)})


def test_a_run_on_a_plain_folder(plain, tmp_path):
    """One option is enough; a queue or a schedule (bug 19) that is longer than the run is named."""
    options = config(plain, tmp_path / 'run', train_dataloader__batch_size=4, param_scheduler=[
        dict(type='CosineAnnealingLR', T_max=200), dict(type='CosineAnnealingLR', T_max=1)])
    runner = train(options)
    assert runner.iter == 2
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    assert 'queue_len of mocov2 is 64, more than the 8 samples' in log
    assert 'T_max of CosineAnnealingLR is 200 epochs, but the run has 1:' in log
    assert 'T_max of CosineAnnealingLR is 1 ' not in log


def test_a_run_without_a_step_is_refused(plain, tmp_path):
    """Bug 2"""
    options = config(plain, tmp_path / 'run', train_dataloader__batch_size=9)
    with pytest.raises(MultiSSLError, match='8 samples are less than a batch of 9'):
        train(options)
