"""SVMs that are fitted together, against LinearSVC's optimum."""
import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC
from test_voc07_svm import NAMES, blobs

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation import voc07 as voc
from multissl_mm.evaluation.voc07 import gram

COSTS = (1., 100., 0.5**6, 0.5**19)


@pytest.fixture
def problem():
    """More dimensions than rows, as with real features: any labels can be fitted."""
    rng = np.random.default_rng(0)
    y = np.where(rng.random((90, 2)) < (.3, .1), 1, -1)
    x = np.maximum(rng.normal(size=(90, 200)) + y @ rng.normal(size=(2, 200)) * .2, 0)
    return voc.normalise(x), y


def reference(x, y, cost):
    return LinearSVC(C=cost, class_weight={1: 2, -1: 1}, dual=True, tol=1e-9, max_iter=10**6,
                     random_state=0).fit(x, y)


@pytest.mark.parametrize('cost', COSTS)
def test_the_optimum_is_that_of_linear_svc(problem, cost):
    x, y = problem
    used = np.arange(90)[:, None] % 3 > 0
    svms = gram.GramSVMs(x, 2)
    scores, beta, solved = svms.fit(y, np.array([cost, cost]), used.repeat(2, axis=1))
    assert solved.all()
    for c in range(2):
        svm = reference(x[used[:, 0]], y[used[:, 0], c], cost)
        # The rows that it has not seen as well, and those that come later.
        np.testing.assert_allclose(scores[:, c], svm.decision_function(x), atol=1e-3)
        np.testing.assert_allclose(svms.score(beta, x[:5] + 1)[:, c],
                                   svm.decision_function(x[:5] + 1), atol=2e-2)


def test_problems_do_not_disturb_each_other(problem):
    x, y = problem
    costs, every = np.array(COSTS), np.ones((90, 1))
    labels = y[:, :1].repeat(len(costs), axis=1)
    together, _, _ = gram.GramSVMs(x, 2).fit(labels, costs, every)
    for i, cost in enumerate(costs):
        alone, _, _ = gram.GramSVMs(x, 2).fit(labels[:, :1], np.array([cost]), every)
        np.testing.assert_allclose(together[:, i], alone[:, 0], atol=1e-5)


def test_cross_validation_is_that_of_the_protocol(problem):
    x, y = problem
    found, unsolved = gram.GramSVMs(x, 2).cross_validate(y, COSTS, 3)
    assert unsolved == 0 and found.shape == (2, 4)
    for c in range(2):
        for i, cost in enumerate(COSTS):
            expected = [average_precision_score(
                y[rest, c], reference(x[fold], y[fold, c], cost).decision_function(x[rest]))
                for fold, rest in StratifiedKFold(3).split(x, y[:, c])]
            assert found[c, i] == pytest.approx(np.mean(expected), abs=1e-3)


@pytest.mark.filterwarnings('ignore:Liblinear')
def test_the_protocol_by_either_solver():
    data = (*blobs(), *blobs(seed=1), NAMES, COSTS)
    by = {solver: voc.evaluate_voc07(*data, jobs=1, progress=False, solver=solver, device='cpu')
          for solver in voc.SOLVERS}
    for name in NAMES:
        one, other = (by[solver]['classes'][name] for solver in voc.SOLVERS)
        assert one['cost'] == other['cost'] and one['AP'] == pytest.approx(other['AP'], abs=.1)
        assert one['cv_AP'] == pytest.approx(other['cv_AP'], abs=.1)
    assert by['gram']['fits'] == by['liblinear']['fits'] and by['gram']['solver'] == 'gram'
    with pytest.raises(MultiSSLError, match="solver 'x': there are liblinear, gram"):
        voc.evaluate_voc07(*data, solver='x')


def test_what_is_not_solved_is_counted(problem, monkeypatch):
    x, y = problem
    monkeypatch.setattr(gram, 'STEPS', 1)
    _, unsolved = gram.GramSVMs(x, 2).cross_validate(y, (100., ), 3)
    assert unsolved == 6
