import errno
import hashlib
import json
import multiprocessing
import os
import pickle
import resource
import shutil

import numpy as np
import pytest
import torch

from multissl_mm.errors import MultiSSLError
from multissl_mm.responses import bank as bank_module
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


@pytest.mark.parametrize('dtype, tolerance', [('float32', 0), ('float16', 2e-3)])
def test_reads_what_was_written(tmp_path, dtype, tolerance):
    bank = ResponseBank(tmp_path, IDENTITY, replicas=2, dtype=dtype, shard_size=10)
    truth = fill(bank)
    assert not bank.missing()
    sent = pickle.loads(pickle.dumps(bank))  # as to a loader's worker
    for opened in (bank, sent, ResponseBank(tmp_path, IDENTITY, 2, dtype, 10)):
        for replica, index in [(0, 24), (1, 0), (0, 9), (0, 10), (1, 24)]:
            row, expected = opened.read(replica, index), truth[replica, index].numpy()
            assert row.keys() == {'q', 'dense'} and row['q'].dtype == dtype
            np.testing.assert_allclose(row['q'], expected, atol=tolerance, rtol=tolerance)
            np.testing.assert_allclose(row['dense'], expected[:, 0], atol=tolerance, rtol=tolerance)
    assert len(pickle.dumps(bank)) < 1000  # goes with every batch of keys


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
    assert {p.name for p in (tmp_path / 'replica000').iterdir()} == {
        'q_00000.npy', 'q_00000.npy.sha256'}


def test_damage_is_named(tmp_path):
    bank = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    fill(bank)
    shard = tmp_path / 'replica000' / 'q_00001.npy'
    for content in (shard.read_bytes()[:20], b''):
        shard.write_bytes(content)
        with pytest.raises(MultiSSLError, match='q_00001.npy cannot be read'):
            ResponseBank(tmp_path, IDENTITY, shard_size=10).read(0, 12)
    (tmp_path / 'manifest.json').write_text('{')
    with pytest.raises(MultiSSLError, match='manifest.json is damaged'):
        ResponseBank(tmp_path, IDENTITY, shard_size=10)


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'names', 'names torn', 'manifest'])
def test_what_is_not_whole_is_missing(tmp_path, damage):
    """So that it is recorded again, instead of failing when it is read."""
    fill(ResponseBank(tmp_path, IDENTITY, shard_size=10))
    shard = tmp_path / 'replica000' / 'q_00001.npy'
    if damage == 'truncated':
        shard.write_bytes(shard.read_bytes()[:-2])
    elif damage == 'empty':
        shard.write_bytes(b'')
    elif damage.startswith('names'):
        (tmp_path / 'responses.json').write_text('{"q": [2' if 'torn' in damage else '[]')
    else:  # nobody knows any more what the shards belong to
        (tmp_path / 'manifest.json').unlink()
    again = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    assert again.missing() == ([(0, 1)] if damage in ('truncated', 'empty') else again.shards())


@pytest.mark.parametrize('damage', ['bit', 'zeroed', 'swapped'])
def test_changed_bits_are_noticed_and_recorded_again(tmp_path, damage):
    """F5: accepted silently, with other weights in the end."""
    bank = ResponseBank(tmp_path, IDENTITY, replicas=2, shard_size=10)
    fill(bank)
    shard = tmp_path / 'replica000' / 'q_00001.npy'
    if damage == 'swapped':
        for name in (shard.name, f'{shard.name}.sha256'):
            a, b = shard.with_name(name), tmp_path / 'replica001' / name
            a.rename(tmp_path / 'x')
            b.rename(a)
            (tmp_path / 'x').rename(b)
    else:
        content = bytearray(shard.read_bytes())
        content[-7:] = bytes(7) if damage == 'zeroed' else \
            bytes([content[-7] ^ 1, *content[-6:]])
        shard.write_bytes(content)
    again = ResponseBank(tmp_path, IDENTITY, replicas=2, shard_size=10)
    bank_module._open.cache_clear()
    with pytest.raises(MultiSSLError, match='q_00001.npy cannot be read .it'):
        again.read(0, 10)
    assert again.missing(verify=True) == [(0, 1), (1, 1)][:2 if damage == 'swapped' else 1]
    again.read(0, 0)


def test_room_is_known_before_anything_is_recorded(tmp_path, monkeypatch):
    """F9: SIGBUS in the middle of it."""
    bank = ResponseBank(tmp_path, IDENTITY, replicas=2, shard_size=10)
    bank.create()
    usage = shutil.disk_usage(tmp_path)._replace(free=500)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(MultiSSLError, match='m need 1.07e-06 GB more, but only 5e-07 GB are free'):
        bank.write(0, 0, iter([dict(q=torch.zeros(10, 3))]))
    assert not list(tmp_path.rglob('*.npy'))


def test_a_bank_that_was_not_recorded_cannot_be_read(tmp_path):
    """R7"""
    bank = ResponseBank(tmp_path / 'new', IDENTITY, shard_size=10)
    with pytest.raises(MultiSSLError, match='new holds no responses'):
        bank.read(0, 0)
    bank.create()
    with pytest.raises(MultiSSLError, match='new holds no responses'):
        bank.read(0, 0)


def test_manifest_says_what_the_bank_is(tmp_path):
    bank = ResponseBank(tmp_path, IDENTITY, replicas=3, dtype='float16', shard_size=10)
    fill(bank)
    assert json.loads((tmp_path / 'manifest.json').read_text()) == dict(
        IDENTITY, replicas=3, dtype='float16', shard_size=10)
    shard = tmp_path / 'replica002' / 'dense_00002.npy'
    assert np.load(shard).shape == (5, 2)
    noted = shard.with_name('dense_00002.npy.sha256').read_text()
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    assert noted == f'{digest}  replica002/dense_00002.npy\n'


def big_bank(root):
    """As many shards as stage 2 of configs/il_mocov2_densecl.py reads, without their weight."""
    bank = ResponseBank(root, dict(IDENTITY, samples=79), replicas=20, shard_size=1)
    bank.create()
    (root / 'responses.json').write_text('{"q": [1]}')
    for replica, shard in bank.shards():
        path = bank._path(replica, shard, 'q')
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.full((1, 1), replica * 79 + shard, np.float16))
    return bank


def _read_all_with_few_descriptors(bank):
    few = 256 + len(os.listdir('/proc/self/fd'))  # besides those that other tests left open
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
    numbers = [bank.read(replica, index)['q'].item() for replica in range(20)
               for index in range(79)]
    assert numbers == list(range(1580))


def test_reading_all_of_a_bank_takes_a_bounded_number_of_files(tmp_path):
    """R1: 1,580 shards with 256 descriptors."""
    process = multiprocessing.get_context('fork').Process(
        target=_read_all_with_few_descriptors, args=(big_bank(tmp_path), ))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_too_many_open_files_are_not_called_damage(tmp_path, monkeypatch):
    """R1"""
    bank = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    fill(bank)

    def load(*args, **kwargs):
        raise OSError(errno.EMFILE, 'Too many open files')

    monkeypatch.setattr(bank_module.np, 'load', load)
    with pytest.raises(MultiSSLError, match=r'may have \d+ files open \(ulimit -n\)') as error:
        bank.read(0, 0)
    assert 'restore' not in str(error.value)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    bank = ResponseBank(tmp_path, IDENTITY, shard_size=10)
    bank.create()

    class Full:
        name = 'x'

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, data):
            raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(bank_module, 'open', lambda *args: Full(), raising=False)
    with pytest.raises(MultiSSLError, match='q_00000.npy: cannot be written .No space left'):
        bank.write(0, 0, iter([dict(q=torch.zeros(10, 2))]))
