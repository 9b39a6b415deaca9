import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from multissl_mm.datasets.keyed import KeptRows
from multissl_mm.errors import MultiSSLError
from multissl_mm.registry import MODELS


def source():
    return MODELS.build(dict(type='multissl_mm.ResponseSource', names=['m', 'd'], source='stored',
                             replicas=1))


def sample(**rows):
    data = BaseDataElement()
    data.set_field(KeptRows(rows), 'kept', field_type='metainfo')
    return data


def test_reads_what_the_samples_bring():
    rows = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float16)
    samples = [sample(m=dict(q=row), d=dict(q=row + 1)).to('cpu') for row in rows]
    out = source().read('m', samples)
    assert out['q'].dtype == torch.float32 and out.keys() == {'q'}
    torch.testing.assert_close(out['q'], torch.from_numpy(rows).float(), atol=0, rtol=0)


def test_rows_are_not_copied_with_their_sample():
    """R9: MMEngine copies the metainfo of every sample of a step, deeply."""
    before = sample(m=dict(q=np.zeros(1000)))
    assert before.to('cpu').kept['m']['q'] is before.kept['m']['q']


@pytest.mark.parametrize('ranks', [2, 3, 1000])
def test_digests_stay_as_they_are_where_buffers_are_averaged(ranks):
    """As MMEngine's SyncBuffersHook does it: sums of bytes were cut off at 256."""
    of_run, digest = source(), bytes(range(224, 256))
    of_run.set_digest('d', digest)
    of_run.recorded.copy_(torch.true_divide(of_run.recorded * ranks, ranks))
    assert of_run.digest('d') == digest.hex() and of_run.digest('m') == '00' * 32


def test_digests_of_older_checkpoints_load():
    of_run, digest = source(), bytes(range(224, 256))
    of_run.load_state_dict(dict(recorded=torch.tensor([list(digest), [0] * 32],
                                                      dtype=torch.uint8)))
    assert of_run.digest('m') == digest.hex()
    of_run.set_digest('d', digest)
    assert of_run.digest('d') == digest.hex()


@pytest.mark.parametrize('samples', [None, [], [None], [BaseDataElement()]])
def test_a_batch_without_responses_is_refused(samples):
    with pytest.raises(MultiSSLError, match='no stored responses of m.*ILStageHook.*KeyedDataset'):
        source().read('m', samples)


def test_one_sample_without_them_is_enough():
    with pytest.raises(MultiSSLError, match='no stored responses of d'):
        source().read('d', [sample(m=dict(q=np.zeros(2)), d=dict(q=np.zeros(2))),
                            sample(m=dict(q=np.zeros(2)))])
