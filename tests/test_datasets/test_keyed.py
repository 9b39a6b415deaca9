import os
import random
import shutil

import numpy as np
import pytest
import tiny
import torch
from mmengine.dataset import default_collate
from mmengine.registry import DATA_SAMPLERS, DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from multissl_mm.datasets import KeyedDataset, ViewKey, content
from multissl_mm.datasets.some_views import SomeViews
from multissl_mm.errors import MultiSSLError


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
