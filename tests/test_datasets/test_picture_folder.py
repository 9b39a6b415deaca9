"""A plain folder of pictures is enough to pretrain."""
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import tiny
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import IterBasedTrainLoop
from PIL import Image

from multissl_mm.datasets import PictureFolder, ViewKey
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import RunOptions, train
from multissl_mm.runtime.checks import _compare_length, _distinct


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
    assert 'classes' not in data.metainfo  # ConcatDataset would compare them
    with pytest.raises(MultiSSLError, match='^PictureFolder.data_root is empty'):
        PictureFolder('', 'train')


@pytest.mark.parametrize('lazy', [False, True])
def test_several_folders_are_one_data_set_whatever_is_in_them(plain, lazy):
    """As docs/usage.md has it."""
    folder = dict(type='multissl_mm.PictureFolder', pipeline=[dict(type='multissl_mm.LoadImage')])
    write(plain.parent / 'b' / 'z' / 'i.jpg')
    data = DATASETS.build(dict(
        type='multissl_mm.KeyedDataset', dataset=dict(type='ConcatDataset', datasets=[
            dict(folder, data_root=str(plain)),
            dict(folder, data_root=str(plain.parent / 'b'), lazy_init=lazy)])))
    data.full_init()
    assert len(data) == 9 and data[ViewKey(0, 0, 8)]['img_path'].endswith('z/i.jpg')


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


def test_what_a_list_names_twice_are_two_samples(plain):
    """As MMPretrain's CustomDataset has it: a list that shows some more often."""
    (plain / 'list.txt').write_text('x/c.webp 1\ny/e.bmp 0\nx/c.webp 1\nx/c.webp 2\n')
    data = PictureFolder(str(plain), ann_file='list.txt')
    assert [(info['img_path'][len(str(plain)) + 1:], info['gt_label']) for info in data] == [
        ('x/c.webp', 1), ('y/e.bmp', 0), ('x/c.webp', 1), ('x/c.webp', 2)]


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


def test_what_a_wrapper_repeats_counts_once(scope, plain):
    """The queue is longer than what there is, though not than an epoch."""
    folder = dict(type='multissl_mm.PictureFolder', data_root=str(plain), pipeline=[])
    joined = DATASETS.build(dict(type='multissl_mm.KeyedDataset', dataset=dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=10, dataset=folder),
                                        folder])))
    assert len(joined) == 88 and _distinct(joined) == 16

    class Named(list):
        dataset = 'voc'

    assert _distinct(Named(range(5))) == 5


@pytest.mark.parametrize('schedule, words', [
    (dict(type='OneCycleLR', total_steps=50, eta_max=.1), 'total_steps of OneCycleLR is 50 epochs'),
    (dict(type='PolyLR', end=50), 'end of PolyLR is 50 epochs, but the run has 2'),
    (dict(type='PolyLR', end=1), 'end of PolyLR is 1 epochs'),
    (dict(type='LinearLR', by_epoch=False, end=50), 'end of LinearLR is 50 steps'),
    (dict(type='LinearLR', by_epoch=False, end=5), ''), (dict(type='PolyLR', end=2), ''),
    (dict(type='MultiStepLR', milestones=[1, 2, 9]), 'milestones of MultiStepLR: 2, 9 are not re'),
    (dict(type='MultiStepLR', begin=1, milestones=[1]), 'MultiStepLR: 1 are not reached by a run'),
    (dict(type='MultiStepLR', milestones=[1]), ''),
    (dict(type='MultiStepLR', by_epoch=False, milestones=[4, 5]), ''),
    (dict(type='CosineAnnealingLR', T_max=2, convert_to_iter_based=True), '')])
def test_schedules_that_do_not_fit_the_run(schedule, words):
    run = SimpleNamespace(max_epochs=2, max_iters=6, train_loop=None, logger=Mock())
    _compare_length(run, schedule)
    said = [call.args[0] for call in run.logger.warning.call_args_list]
    assert len(said) == bool(words) and all(words in text for text in said)


def test_epochs_that_a_run_by_steps_does_not_count():
    loop = object.__new__(IterBasedTrainLoop)
    run = SimpleNamespace(max_epochs=1, max_iters=6, train_loop=loop, logger=Mock())
    _compare_length(run, dict(type='CosineAnnealingLR', T_max=200))
    assert 'counts epochs, but train_cfg counts steps' in run.logger.warning.call_args.args[0]


@pytest.mark.parametrize('size, words', [
    (7, 'of 8 samples in batches of 7 the last has 1'), (1, 'batch_size is 1, but the model')])
def test_a_batch_of_one_is_refused(plain, tmp_path, size, words):
    options = config(plain, tmp_path / 'run', train_dataloader__batch_size=size,
                     train_dataloader__drop_last=False)
    with pytest.raises(MultiSSLError, match=words):
        train(options)


def test_a_run_without_a_step_is_refused(plain, tmp_path):
    """Bug 2"""
    options = config(plain, tmp_path / 'run', train_dataloader__batch_size=9)
    with pytest.raises(MultiSSLError, match='8 samples are less than a batch of 9'):
        train(options)
