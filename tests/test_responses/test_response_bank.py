import json

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from multissl_mm.errors import MultiSSLError
from multissl_mm.responses.bank import ResponseBank

IDENTITY = dict(task='m', weights='w', data='d', views='v', seed=0, samples=25)


def fill(bank):
    bank.create()
    truth = torch.randn(bank.replicas, bank.samples, 2, 3)
    for replica, shard in bank.missing():
        rows = bank.rows(shard)
        parts = torch.split(truth[replica, rows.start:rows.stop], 4)
        bank.write(replica, shard, ({'q': p, 'dense': p[:, :, 0]} for p in parts))
    return truth


def samples(pairs):
    return [BaseDataElement(metainfo=dict(replica=r, sample_idx=i)) for r, i in pairs]


@pytest.mark.parametrize('dtype, tolerance', [('float32', 0), ('float16', 2e-3)])
def test_reads_what_was_written(tmp_path, dtype, tolerance):
    bank = ResponseBank(tmp_path, IDENTITY, replicas=2, dtype=dtype, shard_size=10)
    truth = fill(bank)
    assert not bank.missing()
    pairs = [(0, 24), (1, 0), (0, 9), (0, 10), (1, 24)]
    for opened in (bank, ResponseBank(tmp_path, IDENTITY, 2, dtype, 10)):
        out = opened.read(samples(pairs))
        expected = torch.stack([truth[p] for p in pairs])
        torch.testing.assert_close(out['q'], expected, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(out['dense'], expected[..., 0], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize('key, words', [
    ('weights', 'other weights'), ('data', 'other data'), ('views', r'other views \(pipeline\)'),
    ('seed', r'other views \(seed\)'), ('samples', 'another number of samples')])
def test_a_bank_of_another_identity_is_refused(tmp_path, key, words):
    fill(ResponseBank(tmp_path, IDENTITY, shard_size=10))
    with pytest.raises(MultiSSLError, match=words) as error:
        ResponseBank(tmp_path, dict(IDENTITY, **{key: 26}), shard_size=10)
    assert str(tmp_path) in str(error.value) and 'model.responses.root' in str(error.value)


def test_an_interrupted_recording_goes_on(tmp_path):
    bank = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    bank.create()
    bank.write(0, 0, iter([dict(q=torch.zeros(10, 2))]))

    def torn():
        yield dict(q=torch.ones(4, 2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bank.write(0, 1, torn())
    again = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    assert again.missing() == [(0, 1), (0, 2)]


def test_damage_is_named(tmp_path):
    bank = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    fill(bank)
    shard = tmp_path / 'replica000' / 'q_00001.npy'
    shard.write_bytes(shard.read_bytes()[:20])
    with pytest.raises(MultiSSLError, match='q_00001.npy cannot be read'):
        ResponseBank(tmp_path, IDENTITY, shard_size=10).read(samples([(0, 12)]))
    (tmp_path / 'manifest.json').write_text('{')
    with pytest.raises(MultiSSLError, match='manifest.json is damaged'):
        ResponseBank(tmp_path, IDENTITY, shard_size=10)


def test_a_batch_that_does_not_name_its_views_is_refused(tmp_path):
    bank = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    fill(bank)
    with pytest.raises(MultiSSLError, match='KeyedDataset'):
        bank.read([BaseDataElement()])
    with pytest.raises(MultiSSLError, match='KeyedDataset'):
        bank.read(None)


def test_manifest_says_what_the_bank_is(tmp_path):
    bank = ResponseBank(tmp_path, IDENTITY, replicas=3, dtype='float16', shard_size=10)
    fill(bank)
    assert json.loads((tmp_path / 'manifest.json').read_text()) == dict(
        IDENTITY, replicas=3, dtype='float16', shard_size=10)
    assert np.load(tmp_path / 'replica002' / 'dense_00002.npy').shape == (5, 2)
