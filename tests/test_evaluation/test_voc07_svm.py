"""Average precision and SVMs of the VOC07 protocol, against their definition."""
import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation import voc07 as voc
from multissl_mm.evaluation.voc07 import low_shot, svm


def envelope_area(scores, positive):
    """By definition: for every positive, the best precision at its recall or a higher one."""
    thresholds = sorted(set(scores), reverse=True)
    points = [(sum(p for s, p in zip(scores, positive) if s >= t) / sum(positive),
               sum(p for s, p in zip(scores, positive) if s >= t) / sum(s >= t for s in scores))
              for t in thresholds]
    total = 0
    for i in range(sum(positive)):
        recall = (i + 1) / sum(positive)
        total += max(p for r, p in points if r >= recall - 1e-9)
    return total / sum(positive)


def test_average_precision_by_hand():
    assert voc.average_precision([3, 2, 1], [True, True, False]) == 1
    # precisions 1/2 (recall 1/2) and 2/3 (recall 1): the envelope is 2/3 everywhere
    assert voc.average_precision([4, 3, 2, 1], [False, True, True, False]) == pytest.approx(2 / 3)
    # hits at ranks 1, 3 and 6: 1, 2/3, 1/2
    assert voc.average_precision(-np.arange(6), np.isin(range(6), [0, 2, 5])) == pytest.approx(
        (1 + 2 / 3 + 1 / 2) / 3)
    assert voc.average_precision(np.zeros(8), np.arange(8) < 2) == pytest.approx(1 / 4)  # all tied
    assert np.isnan(voc.average_precision([1., 2.], [False, False]))


def test_average_precision_by_brute_force():
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 30, 90):
        scores = rng.integers(0, 20, count).astype(float)  # many ties
        positive = rng.random(count) < 0.3
        positive[0] = True
        expected = envelope_area(scores.tolist(), positive.tolist())
        assert voc.average_precision(scores, positive) == pytest.approx(expected)
        shuffle = rng.permutation(count)
        assert voc.average_precision(scores[shuffle], positive[shuffle]) == pytest.approx(expected)


def blobs(count=60, classes=3, seed=0):
    """Features with a weak trace of their labels; the last row of labels is difficult."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((count, classes)) < 0.4, 1, -1)
    features = rng.normal(size=(count, 12))
    features[:, :classes] += 1.2 * labels
    labels[-1] = 0
    return features.astype(np.float32), labels


NAMES = ['a', 'b', 'c']


def test_costs_are_the_nineteen_of_the_protocol():
    assert len(voc.COSTS) == 19 and voc.COSTS[:4] == (1, 10, 100, 0.5**4)
    assert voc.COSTS[-1] == 0.5**19


@pytest.mark.filterwarnings('ignore:Liblinear')
def test_cost_and_precision_are_those_of_a_plain_loop():
    (x, y), (x_test, y_test) = blobs(), blobs(seed=1)
    costs = (1., 100., 0.5**6, 0.5**12)
    result = voc.evaluate_voc07(x, y, x_test, y_test, NAMES, costs, jobs=1, progress=False)

    def unit(f):
        f = f.astype(np.float64)
        return f / (np.sqrt((f * f).sum(1)) + 1e-5)[:, None]

    x, x_test = unit(x), unit(x_test)
    svm = dict(class_weight={1: 2, -1: 1}, max_iter=2000, dual=True, random_state=0)
    for c, name in enumerate(NAMES):
        target = np.where(y[:, c] == 0, -1, y[:, c])
        means = []
        for cost in costs:
            scores = [average_precision_score(
                target[rest],
                LinearSVC(C=cost, **svm).fit(x[fold], target[fold]).decision_function(x[rest]))
                for fold, rest in StratifiedKFold(3).split(x, target)]
            means.append(np.mean(scores))
        best = costs[int(np.argmax(means))]
        counts = y_test[:, c] != 0
        scores = LinearSVC(C=best, **svm).fit(x, target).decision_function(x_test)
        row = result['classes'][name]
        assert row['cost'] == best and row['cv_AP'] == pytest.approx(100 * max(means))
        assert row['AP'] == pytest.approx(100 * envelope_area(
            scores[counts].tolist(), (y_test[counts, c] == 1).tolist()))
    assert result['mAP'] == pytest.approx(
        np.mean([row['AP'] for row in result['classes'].values()]))
    assert result['fits'] == 3 * (4 * 3 + 1)


def test_difficult_is_negative_in_training_and_absent_in_test():
    (x, y), (x_test, y_test) = blobs(), blobs(seed=1)
    y_test[:20] = 0

    def evaluate(y, x_test, y_test):
        return voc.evaluate_voc07(x, y, x_test, y_test, NAMES, (1., ), jobs=1, progress=False)

    result = evaluate(y, x_test, y_test)
    assert evaluate(np.where(y == 0, -1, y), x_test, y_test)['classes'] == result['classes']
    counts = y_test[:, 0] != 0
    assert evaluate(y, x_test[counts], y_test[counts])['classes'] == result['classes']
    assert evaluate(y, x_test, np.where(y_test == 0, -1, y_test))['mAP'] != result['mAP']


def test_classes_without_positives_are_named_and_left_out():
    (x, y), (x_test, y_test) = blobs(), blobs(seed=1)
    y[2:, 0], y[:2, 0] = -1, 1
    y_test[:, 1] = np.minimum(y_test[:, 1], 0)
    result = voc.evaluate_voc07(x, y, x_test, y_test, NAMES, (1., ), jobs=1, progress=False)
    assert list(result['classes']) == ['c'] and result['mAP'] == result['classes']['c']['AP']
    assert '2 positives of 60' in result['excluded']['a']
    assert result['excluded']['b'] == 'no positives in test'
    with pytest.raises(MultiSSLError, match=r'no class is left.*a \(2 positives'):
        voc.evaluate_voc07(x, y[:, :2], x_test, y_test[:, :2], NAMES[:2], jobs=1)
    x[7, 3] = np.nan
    with pytest.raises(MultiSSLError, match='1 of 60 .*number 7'):
        voc.evaluate_voc07(x, y, x_test, y_test, NAMES, jobs=1)


def test_low_shot_never_chooses_by_the_test_set():
    (x, y), (x_test, y_test) = blobs(120), blobs(seed=1)
    rest = dict(shots=(1, 4, 96), samples=3, costs=(1., 0.5**15), jobs=1, progress=False)
    result = voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, **rest)
    one, four = result['shots']['1'], result['shots']['4']
    assert len(four['mAP']) == 3 and four['mean'] == pytest.approx(np.mean(four['mAP']))
    assert four['std'] == pytest.approx(np.std(four['mAP'])) and one['mean'] < four['mean']
    assert list(result['left_out']) == ['96']
    # other labels in test: other precisions, but the same costs
    other = voc.evaluate_low_shot(x, y, x_test, np.roll(y_test, 7, axis=0), NAMES, **rest)
    assert other['shots']['4']['cost'] == four['cost']
    assert other['shots']['4']['mAP'] != four['mAP']
    # a draw does not depend on which other k are asked for
    rest['shots'] = (4, )
    assert voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, **rest)['shots'] == {'4': four}
    with pytest.raises(MultiSSLError, match='from 1 on'):
        voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, shots=(0, ))


def test_low_shot_draws_k_positives_and_enough_negatives(monkeypatch):
    (x, y), (x_test, y_test) = blobs(120), blobs(seed=1)
    seen = []

    def record(function, tasks, *_):
        for task in tasks:
            seen.append(task)
            yield function(*task)

    monkeypatch.setattr(low_shot, 'in_parallel', record)
    voc.evaluate_low_shot(x, y, x_test, y_test, NAMES, shots=(4, ), samples=2, costs=(1., ))
    for (_, _, c), _, _, rows, _, _, [(_, held_out), _] in seen:
        assert (y[rows, c] == 1).sum() == 4 and (y[rows, c] == -1).sum() == 8
        assert not held_out[rows].any() and len(set(rows)) == 12
        kept = np.setdiff1d(np.arange(120), rows)
        assert (held_out[kept] == y[kept, c]).all()
    assert len(seen) == 6


@pytest.mark.slow
def test_several_processes_fit_the_same(monkeypatch):
    monkeypatch.setattr(svm, 'SMALL', 0)
    data = (*blobs(), *blobs(seed=1), NAMES)
    one, two = (voc.evaluate_voc07(*data, jobs=jobs, progress=False) for jobs in (1, 2))
    assert one == two
