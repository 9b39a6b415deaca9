import errno
import io
import os
import random
import shutil

import numpy as np
import pytest
import tiny
import torch
from mmengine.dataset import BaseDataset, default_collate
from mmengine.fileio import BaseStorageBackend, register_backend
from mmengine.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS
from PIL import Image
from torch.utils.data import DataLoader

from multissl_mm.analysis import browse, verify
from multissl_mm.datasets import KeyedDataset, ViewKey
from multissl_mm.datasets.keyed import picture_backend
from multissl_mm.datasets.some_views import SomeViews
from multissl_mm.errors import MultiSSLError
from multissl_mm.utils import content


def config(images):
    """Of a data set with a pipeline of MMPretrain's own transforms."""
    return tiny.worker_views(tiny.tiny_config('mocov2', images, 'unused')).train_dataloader.dataset


def dataset(images, **kwargs):
    cfg = config(images)
    cfg.dataset._scope_ = 'mmpretrain'
    return DATASETS.build(dict(cfg, type='multissl_mm.KeyedDataset', **kwargs))


def batches(data, workers=0, epoch=0, batch_size=8, replicas=None, rank=None, seed=3):
    sampler = DATA_SAMPLERS.build(dict(type='multissl_mm.KeyedSampler', dataset=data, seed=seed))
    sampler.set_epoch(epoch)
    sampler.replicas = replicas
    if rank is not None:
        sampler.rank, sampler.world_size = rank, 2
        sampler.num_samples = len(data) // 2
    loader = DataLoader(data, batch_size, sampler=sampler, num_workers=workers,
                        collate_fn=default_collate)
    return [(b['inputs'], [s.sample_idx for s in b['data_samples']]) for b in loader]


def same(a, b):
    return all(i == j and all(torch.equal(x, y) for x, y in zip(u, v))
               for (u, i), (v, j) in zip(a, b)) and len(a) == len(b)


def test_the_same_views_for_any_number_of_workers(scope, images):
    data = dataset(images)
    alone = batches(data)
    torch.rand(7), np.random.rand(3), random.random()  # other draws in between do not matter
    assert same(alone, batches(data, workers=1)) and same(alone, batches(data, workers=4))
    assert not same(alone, batches(data, epoch=1)) and not same(alone, batches(data, seed=4))


def test_two_ranks_give_the_views_of_one(scope, images):
    data = dataset(images)
    one = {i: v for inputs, ids in batches(data, batch_size=8)
           for i, v in zip(ids, zip(*inputs))}
    two = [batches(data, batch_size=4, rank=r) for r in (0, 1)]
    seen = {}
    for inputs, ids in two[0] + two[1]:
        seen.update(zip(ids, zip(*inputs)))
    assert seen.keys() == one.keys()
    assert all(torch.equal(a, b) for i in one for a, b in zip(one[i], seen[i]))
    # and each global batch holds the same samples
    for step, (_, ids) in enumerate(batches(data, batch_size=8)):
        assert set(ids) == set(two[0][step][1]) | set(two[1][step][1])


def test_replicas_repeat(scope, images):
    data = dataset(images)
    views = {e: {i: v for inputs, ids in batches(data, epoch=e, replicas=2)
                 for i, v in zip(ids, zip(*inputs))} for e in (4, 5, 6)}
    equal = [all(torch.equal(a, b) for i in views[4] for a, b in zip(views[4][i], views[e][i]))
             for e in (5, 6)]
    assert equal == [False, True]


def test_the_training_process_keeps_its_random_numbers(scope, images):
    data = dataset(images)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    data[ViewKey(0, 0, 5)]
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_views_are_named_for_the_response_bank(scope, images):
    sample = dataset(images)[ViewKey(1, 2, 3)]['data_samples']
    assert (sample.seed, sample.replica, sample.sample_idx) == (1, 2, 3)


@pytest.fixture
def damaged(images, tmp_path):
    """Three kinds of bad pictures: truncated, empty, and a text that says it is a JPEG."""
    shutil.copytree(images, tmp_path / 'data')
    files = sorted((tmp_path / 'data').rglob('*.JPEG'))
    os.truncate(files[2], files[2].stat().st_size * 2 // 3)
    files[5].write_bytes(b'')
    files[7].write_text('<html>not found</html>')
    return tmp_path / 'data', [files[2], files[5], files[7]]


def test_each_kind_of_bad_picture_is_named(scope, damaged):
    root, files = damaged
    data = dataset(root)
    reasons = 'truncated', 'it is empty', 'cannot identify'
    for index, file, words in zip((2, 5, 7), files, reasons):
        with pytest.raises(MultiSSLError) as error:
            data[ViewKey(0, 0, index)]
        text = str(error.value)
        assert file.name in text and f'sample {index}' in text and words in text
        assert 'max_skip' in text and '\n' not in text


def test_bad_pictures_are_skipped_and_counted_up_to_a_cap(scope, damaged):
    data = dataset(damaged[0], max_skip=2)
    assert data[ViewKey(0, 0, 2)]['data_samples'].sample_idx == 3  # the next one
    assert data[ViewKey(0, 0, 5)]['data_samples'].sample_idx == 6
    assert len(data.skipped) == 2
    data[ViewKey(0, 1, 2)]  # met again: not counted again
    with pytest.raises(MultiSSLError, match='more than max_skip=2'):
        data[ViewKey(0, 0, 7)]


def failing(data, error):
    """A dataset whose pipeline fails after the picture has been read."""
    def fail(results):
        raise error

    data.dataset.pipeline.transforms.insert(1, fail)
    return data


@pytest.mark.parametrize('error', [
    AttributeError('no such attribute'), KeyError('x'), MemoryError(),
    OSError(errno.EMFILE, 'Too many open files'), MultiSSLError('an option is wrong')])
def test_other_errors_are_blamed_on_no_picture(scope, images, error):
    """Bug 12, F19: they come out as they are, and nothing is skipped."""
    data = failing(dataset(images, max_skip=5), error)
    with pytest.raises(type(error)) as caught:
        data[ViewKey(0, 0, 1)]
    assert caught.value is error and not data.skipped


def test_a_transform_that_returns_nothing_is_blamed(scope, damaged):
    """But where the picture is damaged: loaders of others may return None then."""
    root, files = damaged
    data = dataset(root, max_skip=1)
    nothing = type('Nothing', (), dict(__call__=lambda self, results: None))()
    data.dataset.pipeline.transforms[0] = nothing
    with pytest.raises(MultiSSLError, match=r'^sample 3 \(.*0003.JPEG\): the transform Nothing '
                       'returned None for it'):
        data[ViewKey(0, 0, 2)]
    assert data.skipped == [str(files[0])]


def test_a_loader_of_others_may_meet_a_damaged_picture(scope, damaged):
    """Whatever it makes of it: what counts is what a decoder says of the file."""
    root, files = damaged
    data = dataset(root, max_skip=1)
    data.dataset.pipeline.transforms[0] = TRANSFORMS.build(dict(type='LoadImageFromFile'))
    assert data[ViewKey(0, 0, 7)]['data_samples'].sample_idx == 8
    assert data.skipped == [str(files[2])]


class ElsewhereBackend(BaseStorageBackend):
    """Has pictures that are not on this machine; of the one called ``bad`` half."""

    def get(self, filepath):
        content = io.BytesIO()
        Image.new('RGB', (8, 8)).save(content, 'PNG')
        return content.getvalue()[:30 if 'bad' in str(filepath) else None]

    def get_text(self, filepath, encoding='utf-8'):
        raise NotImplementedError


register_backend('elsewhere', ElsewhereBackend, force=True)


def elsewhere(*steps, **kwargs):
    listed = type('Listed', (BaseDataset, ), dict(
        load_data_list=lambda self: [dict(img_path=f'{name}.png') for name in ('a', 'bad')]))
    return KeyedDataset(listed(pipeline=list(steps)), **kwargs)


LOAD_ELSEWHERE = dict(type='multissl_mm.LoadImage', backend_args=dict(backend='elsewhere'))


def test_pictures_elsewhere_are_looked_at_there(scope):
    """On this disk, where they are not, all would count as damaged and be skipped."""
    data = elsewhere(LOAD_ELSEWHERE, max_skip=1)
    assert data[ViewKey(0, 0, 1)]['img_path'] == 'a.png' and data.skipped == ['bad.png']
    error = TypeError('my own bug')
    with pytest.raises(TypeError) as caught:
        failing(data, error)[ViewKey(0, 0, 0)]
    assert caught.value is error and data.skipped == ['bad.png']
    for file, (kind, fault) in ((file, verify._look(file)) for file in verify._named_by(data)):
        assert kind == 'pictures' and (fault is not None) == ('bad' in file.path)
    _, (panel, ) = browse._source(data.get_data_info(0), None, picture_backend(data.dataset))
    assert panel.values.shape == (8, 8, 3)


def test_where_only_a_transform_of_ones_own_knows_pictures_they_are_not_blamed(scope):
    def load(results):
        raise ValueError('the database is closed')

    with pytest.raises(ValueError, match='is closed'):
        elsewhere(load, max_skip=2)[ViewKey(0, 0, 0)]


def test_a_picture_that_stands_in_says_for_which(scope, damaged):
    """F20"""
    root, files = damaged
    sample = dataset(root, max_skip=2)[ViewKey(0, 0, 2)]['data_samples']
    reason = sample.left_out[str(files[0])]
    assert len(sample.left_out) == 1 and 'truncated' in reason
    assert 'left_out' not in dataset(root)[ViewKey(0, 0, 1)]['data_samples']


WRAPPERS = dict(
    concat=lambda a, b: dict(type='ConcatDataset', datasets=[a, b]),
    repeat=lambda a, b: dict(type='RepeatDataset', times=2, dataset=a),
    balanced=lambda a, b: dict(type='ClassBalancedDataset', oversample_thr=.6, dataset=a),
    fold=lambda a, b: dict(type='mmpretrain.KFoldDataset', fold=1, num_splits=3, dataset=a),
    nested=lambda a, b: dict(type='RepeatDataset', times=2, dataset=dict(
        type='ConcatDataset', datasets=[dict(type='RepeatDataset', times=2, dataset=a), b])))


@pytest.fixture
def folders(tmp_path):
    """Two folders of pictures; the first one has two classes, of 24 and of 6."""
    for name in 'ab':
        tiny.write_images(tmp_path / name, 24)
    few = tmp_path / 'a' / 'train' / 'few'
    few.mkdir()
    for file in sorted((tmp_path / 'a').rglob('*.JPEG'))[:6]:
        Image.open(file).transpose(Image.Transpose.ROTATE_90).save(few / file.name)
    return tmp_path


def wrapped(folders, kind, scale=32, **options):
    inner = []
    for name in 'ab':
        cfg = tiny.worker_views(tiny.tiny_config('mocov2', folders / name, 'unused'))
        cfg = cfg.train_dataloader.dataset.dataset
        cfg.pipeline[1].transforms[0][0]['scale'] = scale
        inner.append(dict(cfg, _scope_='mmpretrain', with_label=kind == 'balanced'))
    return KeyedDataset(WRAPPERS[kind](*inner), **options)


@pytest.mark.parametrize('kind, size', [('concat', 54), ('repeat', 60), ('fold', 20),
                                        ('nested', 168)])
def test_several_datasets(scope, folders, kind, size):
    """Bug 12: views of wrapped datasets are keyed as those of one."""
    data = wrapped(folders, kind)
    assert len(data) == size
    assert same(batches(data, batch_size=18), batches(data, workers=2, batch_size=18))
    first, last = (data[ViewKey(0, 0, i)] for i in (0, size - 1))
    assert last['data_samples'].sample_idx == size - 1
    assert not torch.equal(first['inputs'][0], last['inputs'][0])
    assert not torch.equal(first['inputs'][0], data[ViewKey(0, 1, 0)]['inputs'][0])


def test_balanced_classes(scope, folders):
    """Bug 12: of a class that is rare there are more views, each another one."""
    data = wrapped(folders, 'balanced')
    few = [i for i in range(len(data)) if 'few' in data.get_data_info(i)['img_path']]
    assert len(few) > 6 and few[0] == 0
    views = [data[ViewKey(0, 0, i)]['inputs'][0] for i in few[:2]]
    assert data.get_data_info(0)['img_path'] == data.get_data_info(1)['img_path']
    assert not torch.equal(*views)


@pytest.mark.parametrize('kind', WRAPPERS)
def test_fingerprints_of_several_datasets(scope, folders, kind):
    """Bug 12: they may move, but not change, and neither may their pipelines."""
    before = wrapped(folders, kind).fingerprint()
    moved = shutil.copytree(folders, folders / 'moved')
    assert wrapped(moved, kind).fingerprint() == before
    assert wrapped(folders, kind, scale=24).fingerprint()['views'] != before['views']
    next((moved / 'a').rglob('0003.JPEG')).unlink()
    assert wrapped(moved, kind).fingerprint()['data'] != before['data']


def test_damaged_pictures_of_several_datasets(scope, folders):
    """Bug 12: counted by file, however often it comes."""
    file = sorted((folders / 'a').rglob('*.JPEG'))[2]
    file.write_bytes(b'')
    data = wrapped(folders, 'repeat', max_skip=1)
    assert [data[ViewKey(0, 0, i)]['data_samples'].sample_idx for i in (2, 32)] == [3, 33]
    assert data.skipped == [str(file)]


def test_some_views_of_several_datasets(scope, folders):
    data = wrapped(folders, 'concat')
    whole = data[ViewKey(0, 0, 40)]['inputs']
    some = SomeViews(data, ('query', 'key'), ['query'])[ViewKey(0, 0, 40)]['inputs']
    assert len(some) == 1 and torch.equal(some[0], whole[0])


def test_a_fold_shows_its_own_samples(scope, folders):
    data = wrapped(folders, 'fold')
    for index in (0, 19):
        sample = data[ViewKey(0, 0, index)]['data_samples']
        assert sample.img_path == data.get_data_info(index)['img_path']


@pytest.mark.parametrize('cfg, message', [
    (None, ' is None, not the config of a dataset'), ('plain', " is 'plain', not the config"),
    (dict(type='ConcatDataset', datasets=[]), r'.datasets is \[\], not a list'),
    (dict(type='ConcatDataset', datasets=dict(type='A')), '.datasets is a dict, not a list'),
    (dict(type='RepeatDataset', dataset=dict(type='A')), '.times is None; RepeatDataset repeats'),
    (dict(type='ConcatDataset', datasets=[dict(type='mmengine.RepeatDataset', times=1.5)]),
     '.datasets.0.times is 1.5;'),
    (dict(type='RepeatDataset', times=2, dataset=dict(type='A', indices=0)),
     '.dataset.indices is 0, which leaves no sample')])
def test_what_cannot_be_a_dataset_is_named(cfg, message):
    with pytest.raises(MultiSSLError, match=f'^KeyedDataset.dataset{message}'):
        KeyedDataset(cfg)


def test_a_dataset_without_a_pipeline_is_named(images):
    with pytest.raises(MultiSSLError, match='around a list, which has no pipeline'):
        KeyedDataset([1, 2])[ViewKey(0, 0, 0)]


def test_a_plain_index_is_refused(scope, images):
    with pytest.raises(MultiSSLError, match='KeyedSampler'):
        dataset(images)[0]


class Rows:
    """Old responses that say which views they are to."""

    def __init__(self, name, start):
        self.name, self.start = name, start

    def read(self, replica, index):
        return dict(q=np.array([self.start, replica, index, os.getpid()], np.float32))


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_old_responses_are_read_by_workers_that_persist(scope, images, method):
    """R9: in the loader's workers, which learn of a new stage's banks from the keys alone."""
    data = dataset(images)
    sampler = DATA_SAMPLERS.build(dict(type='multissl_mm.KeyedSampler', dataset=data, seed=3))
    loader = DataLoader(data, 12, sampler=sampler, num_workers=1, persistent_workers=True,
                        multiprocessing_context=method, collate_fn=default_collate)
    assert all('kept' not in s for batch in loader for s in batch['data_samples'])
    worker = {w.pid for w in loader._iterator._workers}
    for stage in (1, 2):
        sampler.set_epoch(stage + 4)
        sampler.replicas = 4
        sampler.kept = tuple(Rows(f'task{i}', i) for i in range(stage))
        samples = [s for batch in loader for s in batch['data_samples']]
        for s in samples:
            assert list(s.kept) == [f'task{i}' for i in range(stage)]
            for i, rows in enumerate(s.kept.values()):
                assert rows['q'].tolist()[:3] == [i, stage, s.sample_idx]
                assert rows['q'][3] in np.float32(list(worker))
    assert {w.pid for w in loader._iterator._workers} == worker


def test_old_responses_change_no_view(scope, images):
    data = dataset(images)
    plain, with_rows = data[ViewKey(0, 1, 5)], data[ViewKey(0, 1, 5, (Rows('m', 0), ))]
    assert all(torch.equal(a, b) for a, b in zip(plain['inputs'], with_rows['inputs']))


def test_a_bank_that_cannot_be_read_is_no_bad_picture(scope, images):
    class Broken(Rows):

        def read(self, replica, index):
            raise MultiSSLError('the bank is damaged')

    data = dataset(images, max_skip=5)
    with pytest.raises(MultiSSLError, match='the bank is damaged'):
        data[ViewKey(0, 0, 1, (Broken('m', 0), ))]
    assert not data.skipped


def test_rows_are_those_of_the_picture_shown(scope, damaged):
    """Where a bad picture is replaced, what was answered to the one that is shown."""
    sample = dataset(damaged[0], max_skip=2)[ViewKey(0, 0, 2, (Rows('m', 0), ))]['data_samples']
    assert sample.sample_idx == sample.kept['m']['q'][2] == 3


@pytest.mark.parametrize('wanted, drawn', [(['query'], 1), (['key'], 2), (['key', 'query'], 2),
                                           (['query', 'made by a task'], 1)])
def test_some_views_are_the_same_and_no_others_are_drawn(scope, images, wanted, drawn):
    """R9"""
    data = dataset(images)
    views = data.dataset.pipeline.transforms[1]
    calls, pipelines = [], views.pipelines[0].transforms
    first = pipelines[0]
    pipelines[0] = lambda results: calls.append(1) or first(results)
    whole = dict(zip(('query', 'key'), data[ViewKey(0, 0, 4)]['inputs']))
    assert len(calls) == 2
    some = SomeViews(data, ('query', 'key'), wanted)[ViewKey(0, 0, 4)]
    assert len(calls) == 2 + drawn
    expected = [whole[name] for name in ('query', 'key') if name in wanted]
    assert len(some['inputs']) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(some['inputs'], expected))
    assert some['data_samples'].sample_idx == 4
    data[ViewKey(0, 0, 4)]  # training still sees both
    assert len(calls) == 4 + drawn


def test_fingerprint_tells_data_and_views_apart(scope, images, tmp_path):
    a = dataset(images).fingerprint()
    cfg = config(images)
    cfg.dataset._scope_ = 'mmpretrain'
    cfg.dataset.pipeline[1].transforms[0][0]['scale'] = 48
    b = DATASETS.build(dict(cfg)).fingerprint()
    c = dataset(tiny.write_images(tmp_path, 10)).fingerprint()
    assert a['data'] == b['data'] != c['data'] and a['views'] == c['views'] != b['views']


def test_a_dataset_that_is_an_object_has_a_digest_of_its_pipeline(scope, images):
    """R6"""
    def fingerprint(scale):
        cfg = config(images).dataset
        cfg.pipeline[1].transforms[0][0]['scale'] = scale
        cfg._scope_ = 'mmpretrain'
        data = KeyedDataset(DATASETS.build(cfg))
        before = data.fingerprint()
        data[ViewKey(0, 0, 1)]
        assert data.fingerprint() == before
        return before

    assert fingerprint(32) == fingerprint(32)
    assert fingerprint(32)['views'] != fingerprint(48)['views']
    assert fingerprint(32)['data'] == dataset(images).fingerprint()['data']


def test_data_may_move_but_not_change(scope, images, tmp_path):
    """R6: pictures made anew under the same names are other data; a moved folder is not."""
    before = dataset(images).fingerprint()
    moved = shutil.copytree(images, tmp_path / 'moved' / 'elsewhere')
    assert dataset(moved).fingerprint() == before
    for file in moved.rglob('*.JPEG'):
        Image.open(file).resize((20, 20)).save(file)
    assert dataset(moved).fingerprint()['data'] != before['data']
    next(moved.rglob('*.JPEG')).unlink()
    assert dataset(moved).fingerprint()['data'] != before['data']


def test_sizes_are_asked_of_a_bounded_number_of_files(scope, images, monkeypatch):
    """R6: no storm of a million calls on a network file system when a run starts."""
    asked = []
    monkeypatch.setattr(content, 'MAX_SIZES', 5)
    monkeypatch.setattr(content, 'file_size', asked.append)
    dataset(images).fingerprint()
    assert 0 < len(asked) <= 5
