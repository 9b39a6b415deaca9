"""A linear SVM per class, its cost chosen by cross-validation, and its average precision."""
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_validate
from sklearn.svm import LinearSVC

from ...errors import MultiSSLError
from ...utils.checkpoint import some
from ...utils.cli import progress_bar
from .features import check_finite, features_device
from .gram import GramSVMs

#: Costs, in the order in which they are tried: the first of equally good ones is taken.
COSTS = (1., 10., 100., *(0.5**n for n in range(4, 20)))
FOLDS = 3
POSITIVE_WEIGHT = 2
#: One ``LinearSVC`` after another, or all fits together on the Gram matrix that they share.
SOLVERS = ('liblinear', 'gram')
#: Features to fit, summed over fits, that take about 5 seconds on one core.
SMALL = 1e8


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the monotone envelope of the precision-recall curve (VOC since 2010).

    Images with equal scores enter the curve together, so their order does not matter.

    Args:
        scores (ndarray): (N,), higher is surer.
        positive (ndarray): (N,), bool.

    Returns:
        float: 0..1; nan without a positive.
    """
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    if not positive.any():
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(positive[order])[last_of_equals]
    precision = hits / (np.flatnonzero(last_of_equals) + 1)
    # The best precision at this recall or any higher one.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * envelope) / hits[-1])


def normalise(features: np.ndarray) -> np.ndarray:
    """Rows (N, D) divided by their length, in float64."""
    features = np.asarray(features, dtype=np.float64)
    return features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-5)


def _svm(cost: float, seed: int) -> LinearSVC:
    return LinearSVC(C=cost, class_weight={1: POSITIVE_WEIGHT, -1: 1}, penalty='l2',
                     loss='squared_hinge', dual=True, tol=1e-4, max_iter=2000, random_state=seed)


def _stuck(svm: LinearSVC) -> bool:
    return svm.n_iter_ >= svm.max_iter


def _cross_validate(key: Tuple[int, int], x: np.ndarray, y: np.ndarray, cost: float,
                    seed: int) -> Tuple[Tuple[int, int], float, int]:
    """One class, one cost: its key again, mean AP over the folds, fits that did not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        result = cross_validate(_svm(cost, seed), x, y, cv=FOLDS, scoring='average_precision',
                                return_estimator=True, error_score='raise')
    return key, result['test_score'].mean(), sum(map(_stuck, result['estimator']))


def fit_and_test(key: Any, x: np.ndarray, y: np.ndarray, rows: Optional[np.ndarray],
                  costs: Sequence[float], seed: int,
                  tests: Sequence[Tuple[np.ndarray, np.ndarray]]) -> Tuple[Any, np.ndarray, int]:
    """Fits one class on some rows; its key again, AP (tests, costs), fits that did not converge.

    Each test is features (N, D) and labels (N,) in {-1, 0: left out, 1}.
    """
    if rows is not None:
        x, y = x[rows], y[rows]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        svms = [_svm(cost, seed).fit(x, y) for cost in costs]
    weight = np.concatenate([svm.coef_ for svm in svms])  # (costs, D)
    bias = np.concatenate([svm.intercept_ for svm in svms])
    precisions = np.empty((len(tests), len(costs)))
    for t, (features, labels) in enumerate(tests):
        scores = features @ weight.T + bias
        counts = labels != 0
        for c in range(len(costs)):
            precisions[t, c] = average_precision(scores[counts, c], labels[counts] == 1)
    return key, precisions, sum(map(_stuck, svms))


def in_parallel(function: Callable, tasks: List[tuple], jobs: int, what: str,
              progress: bool) -> Iterator:
    """Results in the order in which they are ready; the second argument of a task is features."""
    if sum(task[1].size for task in tasks) < SMALL:
        jobs = 1  # done before other processes have started
    pool = joblib.Parallel(n_jobs=jobs, return_as='generator_unordered')
    results = pool(joblib.delayed(function)(*task) for task in tasks)
    return progress_bar(results, len(tasks), what, progress)


def evaluate_voc07(features_train: np.ndarray,
                   labels_train: np.ndarray,
                   features_test: np.ndarray,
                   labels_test: np.ndarray,
                   class_names: Sequence[str],
                   costs: Sequence[float] = COSTS,
                   jobs: int = -1,
                   seed: int = 0,
                   progress: bool = True,
                   solver: str = 'liblinear',
                   device: str = 'auto') -> Dict[str, Any]:
    """The full protocol on given features.

    With feat5 of a ResNet-50 every job of liblinear takes about 1.5 GB. Only the best cost of a
    class is refitted, since no other is ever tested: 20 x 19 x 3 + 20 fits.

    Args:
        features_train (ndarray): (N, D), as the backbone gives them.
        labels_train (ndarray): (N, classes) in {-1, 0: difficult, 1}.
        features_test, labels_test: Likewise.
        class_names (sequence[str]): Of the columns.
        jobs (int): Processes that fit, if there is enough to do; -1 for one per core.
        seed (int): Of the order in which liblinear visits images.
        solver (str): ``liblinear`` fits one ``LinearSVC`` after another; ``gram`` reaches the same
            optimum of all together (:class:`~.gram.GramSVMs`), many times as fast.
        device (str): Of ``gram``; ``auto`` for a GPU if any.

    Returns:
        dict: ``mAP``; per class ``AP``, ``cost``, ``cv_AP`` and numbers of positives; ``excluded``
        (class -> why it is not part of the mean); ``fits`` and ``not_converged``.

    Raises:
        MultiSSLError: If no class is left, or a feature is not finite.
    """
    if solver not in SOLVERS:
        raise MultiSSLError(f'solver {solver!r}: there are {", ".join(SOLVERS)}')
    used, excluded = usable_classes(class_names, labels_train, labels_test)
    x_train, x_test = finite_unit_rows(features_train), finite_unit_rows(features_test)
    y_train = np.where(labels_train == 1, 1, -1)  # difficult counts as negative here ...

    if solver == 'gram':
        svms = GramSVMs(x_train, POSITIVE_WEIGHT, features_device(device))
        cv_precisions, not_converged = svms.cross_validate(y_train[:, used], costs, FOLDS)
    else:
        cv_precisions, not_converged = _cross_validate_all(x_train, y_train[:, used], costs, jobs,
                                                           seed, progress)
    best = [costs[i] for i in cv_precisions.argmax(axis=1)]

    tests = [(x_test, labels_test[:, c]) for c in used]  # ... and is left out here
    if solver == 'gram':
        _, beta, solved = svms.fit(y_train[:, used], np.array(best), np.ones((len(x_train), 1)))
        scores = svms.score(beta, x_test)
        precisions = [average_precision(scores[y != 0, k], y[y != 0] == 1)
                      for k, (_, y) in enumerate(tests)]
        not_converged += int((~solved).sum())
    else:
        fits = [(k, x_train, y_train[:, c], None, [best[k]], seed, [tests[k]])
                for k, c in enumerate(used)]
        precisions = [0.] * len(used)
        for k, found, stuck in in_parallel(fit_and_test, fits, jobs, 'test', progress):
            precisions[k] = float(found[0, 0])
            not_converged += stuck
    classes = {class_names[c]: dict(AP=100 * precisions[k], cost=best[k],
                                    cv_AP=100 * float(cv_precisions[k].max()),
                                    positives_train=int((labels_train[:, c] == 1).sum()),
                                    positives_test=int((labels_test[:, c] == 1).sum()))
               for k, c in enumerate(used)}
    return dict(mAP=float(np.mean([row['AP'] for row in classes.values()])),
                classes=classes,
                excluded=excluded,
                solver=solver,
                costs=list(costs),
                fits=len(used) * (len(costs) * FOLDS + 1),
                not_converged=not_converged)


def _cross_validate_all(x: np.ndarray, y: np.ndarray, costs: Sequence[float], jobs: int, seed: int,
                        progress: bool) -> Tuple[np.ndarray, int]:
    """Mean AP over folds (classes, costs) of labels (N, classes); fits that did not converge."""
    # The highest costs take longest: first in, so that no core waits at the end.
    tasks = sorted((((c, i), x, y[:, c], cost, seed) for c in range(y.shape[1])
                    for i, cost in enumerate(costs)), key=lambda task: -task[3])
    precisions, not_converged = np.zeros((y.shape[1], len(costs))), 0
    for key, precision, stuck in in_parallel(_cross_validate, tasks, jobs, 'cross-validation',
                                             progress):
        precisions[key] = precision
        not_converged += stuck
    return precisions, not_converged


def usable_classes(names: Sequence[str], train: np.ndarray,
            test: np.ndarray) -> Tuple[List[int], Dict[str, str]]:
    """Columns of the classes that can be learned and tested; why others cannot."""
    excluded = {}
    for c, name in enumerate(names):
        fewest = min((train[:, c] == 1).sum(), (train[:, c] != 1).sum())
        if fewest < FOLDS:
            excluded[name] = (f'{(train[:, c] == 1).sum()} positives of {len(train)} images in '
                              f'trainval, {FOLDS} folds need {FOLDS} of each kind')
        elif not (test[:, c] == 1).any():
            excluded[name] = 'no positives in test'
    if len(excluded) == len(names):
        raise MultiSSLError('no class is left to evaluate: ' +
                            some((f'{k} ({v})' for k, v in excluded.items()), 3))
    return [c for c, name in enumerate(names) if name not in excluded], excluded


def finite_unit_rows(features: np.ndarray) -> np.ndarray:
    """Features (N, C) of length 1 each; an error if some are not finite."""
    check_finite(features)
    return normalise(features)
