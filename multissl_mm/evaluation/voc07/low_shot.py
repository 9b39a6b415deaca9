"""SVMs that learn from a few positives of each class."""
import itertools
from typing import Any, Dict, Sequence

import numpy as np

from ...errors import MultiSSLError
from .svm import COSTS, finite_unit_rows, fit_and_test, in_parallel, usable_classes

#: Positive examples per class of the low-shot protocol.
LOW_SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)


def evaluate_low_shot(features_train: np.ndarray,
                      labels_train: np.ndarray,
                      features_test: np.ndarray,
                      labels_test: np.ndarray,
                      class_names: Sequence[str],
                      shots: Sequence[int] = LOW_SHOTS,
                      samples: int = 5,
                      costs: Sequence[float] = COSTS,
                      jobs: int = -1,
                      seed: int = 0,
                      progress: bool = True) -> Dict[str, Any]:
    """SVMs that learn from k positives per class.

    As in the paper's code a sample draws, for each class on its own, k positives and
    (classes - 1) x k negatives (all where there are fewer), never difficult ones, and one cost
    serves all classes. That code takes the cost that is best on test. Here it is the one with the
    best mAP on the trainval images that the class's sample did not draw; a class of which these are
    not of both kinds has no say.

    Args:
        shots (sequence[int]): Values of k. One for which a class has too few positives is left
            out and named in ``left_out``.
        samples (int): Independent draws per k.

    Returns:
        dict: ``shots``: k -> ``mean`` and ``std`` (population) of the mAP over draws, ``mAP`` and
        ``cost`` of each; ``left_out``: k -> why; ``not_converged``. Other arguments and errors as
        in :func:`evaluate_voc07`.
    """
    if min(shots, default=1) < 1:
        raise MultiSSLError(f'low-shot with {min(shots)} positives: give numbers from 1 on')
    used, _ = usable_classes(class_names, labels_train, labels_test)
    x_train, x_test = finite_unit_rows(features_train), finite_unit_rows(features_test)
    y_train = np.where(labels_train == 1, 1, -1)
    positives, negatives = ({c: np.flatnonzero(labels_train[:, c] == v) for c in used}
                            for v in (1, -1))
    tasks, left_out = [], {}
    for k in shots:
        rarest = min(used, key=lambda c: len(positives[c]))
        others = k * max(1, len(class_names) - 1)  # negatives per class
        speak = [c for c in used if len(positives[c]) > k and len(negatives[c]) > others]
        if len(positives[rarest]) < k or not speak:
            left_out[str(k)] = (
                f'{class_names[rarest]} has {len(positives[rarest])} positives in trainval'
                if len(positives[rarest]) < k else
                f'no class has both more than {k} positives and more than {others} negatives in '
                'trainval, so that some are left to choose the cost by')
            continue
        for s, c in itertools.product(range(samples), used):
            # Of the draw alone, so that neither jobs nor other values of k change it.
            rng = np.random.default_rng([seed, s, k, c])
            rows = np.concatenate([
                rng.choice(positives[c], k, replace=False),
                rng.choice(negatives[c], min(others, len(negatives[c])), replace=False)])
            held_out = labels_train[:, c].copy() if c in speak else np.zeros(len(x_train), int)
            held_out[rows] = 0
            tasks.append(((k, s, c), x_train, y_train[:, c], rows, costs, seed,
                          [(x_train, held_out), (x_test, labels_test[:, c])]))
    precisions = {}  # (k, sample, class) -> (2: held out, test; costs)
    not_converged = 0
    for key, precision, stuck in in_parallel(fit_and_test, tasks[::-1], jobs, 'low-shot',
                                             progress):
        precisions[key] = precision
        not_converged += stuck
    table = {}
    for k in (k for k in shots if str(k) not in left_out):
        chosen, means = [], []
        for s in range(samples):
            held_out, test = np.stack([precisions[k, s, c] for c in used], axis=1)
            best = int(np.nanmean(held_out, axis=0).argmax())  # test has no part in this
            chosen.append(costs[best])
            means.append(100 * float(test[:, best].mean()))
        table[str(k)] = dict(mean=float(np.mean(means)), std=float(np.std(means)), mAP=means,
                             cost=chosen)
    return dict(shots=table, left_out=left_out, not_converged=not_converged)
