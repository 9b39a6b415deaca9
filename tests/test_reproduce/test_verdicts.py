"""Means, verdicts and powers, and the claims that they are of."""
import math

import pytest
from scipy.stats import ttest_1samp

from multissl_mm.errors import MultiSSLError
from multissl_mm.reproduce.claims import CLAIMS, check, counted, surviving
from multissl_mm.reproduce.columns import Column
from multissl_mm.reproduce.drawing import trade_off
from multissl_mm.reproduce.intervals import (
    FAILS,
    HOLDS,
    OPEN,
    false_discovery_rates,
    interval,
    p_value,
    seeds_needed,
    verdict,
)
from multissl_mm.reproduce.pictures import TABLE4
from multissl_mm.reproduce.results import rank


def test_intervals_are_students():
    mean = interval([10., 12., 14.])
    assert mean.mean == 12. and mean.deviation == 2. and mean.seeds == 3
    assert mean.high - mean.mean == pytest.approx(4.302653 * 2 / 3**.5, rel=1e-5)
    assert interval([3.]).low is None


def test_a_verdict_needs_three_seeds_and_a_clear_difference():
    assert verdict(None) == verdict(interval([5.])) == verdict(interval([1., 1.])) == OPEN
    assert verdict(interval([1., 1.2, 1.1])) == HOLDS
    assert verdict(interval([-1., -1.2, -1.1])) == FAILS
    assert verdict(interval([1., -.5, .3])) == OPEN


def test_what_is_decided_among_many():
    for values in ([1., 1.2, 1.1], [1., -.5, .3, .8]):
        found = interval(values)
        assert p_value(found) == pytest.approx(ttest_1samp(values, 0).pvalue)
        assert (p_value(found) < .05) == (verdict(found) != OPEN)
    assert p_value(None) is p_value(interval([1., 1.1])) is None
    assert p_value(interval([2.] * 3)) == 0 and p_value(interval([0.] * 3)) == 1
    # Of four with p of 0.01, 0.02 and 0.03 three are as clear as the third: 4 x 0.03 / 3.
    assert false_discovery_rates([.03, None, .01, .5, .02]) == [
        pytest.approx(.04), None, pytest.approx(.04), pytest.approx(.5), pytest.approx(.04)]
    assert false_discovery_rates([None]) == [None] and false_discovery_rates([]) == []


@pytest.mark.parametrize('effect, deviation, seeds', [
    # Textbook numbers of the paired t-test: 5 %, two-sided, power 80 %.
    (1., 1., 10), (.5, 1., 34), (.8, 1., 15), (.2, 1., 199), (2., 1., 5),
    (1., 0., 3), (100., 1., 3), (.01, 1., None), (-1., 1., None), (None, 1., None), (1., None, None)
])
def test_seeds_that_it_takes(effect, deviation, seeds):
    assert seeds_needed(effect, deviation) == seeds


@pytest.mark.parametrize('subject', list(CLAIMS))
def test_claims_name_rows_and_columns_that_there_are(subject):
    claims, rows, columns = CLAIMS[subject]
    titles = [column.title for column in columns]
    for claim in claims:
        assert claim.better in rows and claim.worse in rows, claim
        assert all(title in titles for title in claim.columns), claim
    assert len({(claim.better, claim.worse) for claim in claims}) == len(claims)
    assert any(not claim.section for claim in claims)


def fake(**rows):
    """Results that nobody measured, of three seeds, in a column of SVMs and one of S3R."""
    return {key: dict(svm={f'seed{k}': dict(mAP=value) for k, value in enumerate(values)},
                      s3r={f'seed{k}': dict(error=value) for k, value in enumerate(values)})
            for key, values in rows.items()}


def test_differences_are_paired_over_seeds_and_of_the_papers_sign():
    found = {(one.claim.better, one.claim.worse): one for one in check('pictures', fake(
        il_mocov2_densecl=(11., 21., 31.), mocov2=(10., 20.2, 29.9), densecl=(30., 20., 10.),
        mocov2_long=(12., 22.1, 32.)))}
    better = found['il_mocov2_densecl', 'mocov2']  # by one, however much seeds differ
    assert better.verdict == HOLDS and better.difference.mean == pytest.approx(.9666, abs=1e-3)
    assert better.paper == pytest.approx(2.06) and better.seeds == 3
    assert found['mocov2', 'densecl'].verdict == OPEN
    control = found['il_mocov2_densecl', 'mocov2_long']
    assert control.verdict == FAILS and control.paper is None and not control.claim.section
    assert counted(found.values()) == {HOLDS: 1, FAILS: 0, OPEN: 2}


def test_what_counts_as_the_papers_has_a_number_of_it():
    results = fake(mocov2=(30., 30.2, 29.9), densecl=(40., 40.4, 40.1))
    for found in results.values():
        found['segmentation'] = found['svm']
    kinds = {(one.claim.better, one.column.title): one for one in check('pictures', results)}
    assert {key: one.kind for key, one in kinds.items()} == {
        ('mocov2', 'SVM mAP'): 'paper', ('densecl', 'linear seg. AP'): 'elsewhere'}
    assert kinds['densecl', 'linear seg. AP'].verdict == HOLDS
    assert counted(kinds.values()) == {HOLDS: 0, FAILS: 1, OPEN: 0}


@pytest.mark.parametrize('subject, count', [('pictures', 42), ('sound', 112)])
def test_what_the_paper_claims_its_numbers_say(subject, count):
    """Against supervised sound, too, only of the weights that it has: AudioSet's."""
    _, rows, columns = CLAIMS[subject]
    checked = check(subject, {key: {column.run: {'seed0': {c.metric: 1. for c in columns}}
                                    for column in columns} for key in rows})
    own = [one for one in checked if one.kind == 'paper']
    assert all(one.paper > 0 for one in own) and len(own) == count
    against = {one.claim.worse for one in own}
    assert ('supervised' in against, 'audioset' in against) == (
        subject == 'pictures', subject == 'sound')


def test_claims_are_counted_with_how_many_they_are():
    il = [12., 12.1, 12.2]
    less = dict(mocov2=(2., 2., 2.01), densecl=(1., 2., -.5), mtl_mocov2_densecl=(.6, 1.4, 1.))
    checked = check('pictures', fake(il_mocov2_densecl=il, **{
        key: [a - b for a, b in zip(il, by)] for key, by in less.items()}))
    found = {one.claim.worse: one for one in checked if one.claim.better == 'il_mocov2_densecl'}
    assert {key: one.verdict for key, one in found.items()} == {
        'mocov2': HOLDS, 'densecl': OPEN, 'mtl_mocov2_densecl': HOLDS}
    assert found['mocov2'].rate < .01 and .05 < found['mtl_mocov2_densecl'].rate < .3
    decided, kept = surviving(checked)
    assert 1 == kept < decided < len(checked)


def test_less_is_better_where_a_column_says_so():
    found = {(one.claim.better, one.claim.worse): one for one in check('sound', fake(
        a=(.20, .21, .20), b=(.25, .26, .255)))}
    one = found['a', 'b']
    assert one.verdict == HOLDS and one.column.title == 'S3R error'
    assert one.difference.mean == pytest.approx(.0517, abs=1e-3)
    assert one.paper == pytest.approx(.0396)


def test_seeds_that_only_one_of_two_rows_has_do_not_count():
    results = fake(il_mocov2_densecl=(11., 21.), mocov2=(10., ))
    found, = check('pictures', results)
    assert found.difference.seeds == 1 and found.verdict == OPEN


def test_places_are_of_rows_with_as_many_seeds_as_any():
    column = Column('SVM mAP', 'svm', 'mAP')
    found = fake(once=(50., ), worse=(30., 31.), better=(40., 41.))
    assert rank(found, column) == dict(worse=2, better=1)


def test_ways_of_the_studies_are_set_against_their_controls():
    found = {(one.claim.better, one.claim.worse): one for one in check('study', fake(
        cassle=(11., 21., 31.), nothing=(10., 20.2, 29.9), mtl_long=(12., 22.1, 32.)))}
    assert found['cassle', 'nothing'].verdict == HOLDS
    assert found['cassle', 'mtl_long'].verdict == FAILS and len(found) == 3
    assert counted(found.values()) == dict.fromkeys((HOLDS, FAILS, OPEN), 0)  # none is the paper's


def test_a_row_far_off_does_not_leave_the_others_a_corner():
    def found(x, y):
        return dict(run={f'seed{k}': dict(x=x + k, y=y - k) for k in range(3)})

    columns = {name: Column(name, 'run', name) for name in 'xy'}
    results = {f'row {i}': found(36 + 2 * i, 20 + i) for i in range(5)}
    for far, seen in ((found(90, 21), False), (found(40, 80), False), (found(48, 26), True)):
        axis = trade_off('', [[('x', 'y')]], columns, {**results, 'far': far}).axes[0]
        assert (axis.get_xlim()[1] < 60 and axis.get_ylim()[1] < 40)
        assert ('far' not in axis.get_title(loc='right')) == seen
    first = {'far': found(90, 21), **results}
    assert trade_off('', [[('x', 'y')]], columns, first).axes[0].get_xlim()[1] > 90
    few = {**dict(list(results.items())[:3]), 'far': found(90, 21)}
    assert trade_off('', [[('x', 'y')]], columns, few).axes[0].get_xlim()[1] > 90


def test_a_number_that_is_none_decides_nothing():
    got = interval([1., math.nan, 3.])
    assert math.isnan(got.mean) and got.low is None and verdict(got) == OPEN


def test_a_pair_is_compared_once():
    for claims, *_ in CLAIMS.values():
        pairs = [(frozenset((claim.better, claim.worse)), title)
                 for claim in claims for title in claim.columns]
        assert len(set(pairs)) == len(pairs)


def test_results_that_were_moved_aside_are_of_no_seed(tmp_path):
    for name in ('seed0', 'seed1', 'seed1_old', 'seed1.bak', 'seeds'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'random_svm.json').write_text('{"mAP": 1}')
    assert list(TABLE4.collect(tmp_path, 'random')['svm']) == ['seed0', 'seed1']
    (tmp_path / 'seed1' / 'random_svm.json').write_text('{"mAP": ')
    with pytest.raises(MultiSSLError, match='seed1/random_svm.json: not whole JSON'):
        TABLE4.collect(tmp_path, 'random')
