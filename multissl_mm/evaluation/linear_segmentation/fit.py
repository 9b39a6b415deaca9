"""One linear layer on the features of cells, and its average precision."""
from typing import Any, Dict, NamedTuple, Sequence

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...errors import MultiSSLError
from ...utils.cli import progress_bar

#: Tried penalties on the squared weights, relative to the mean loss of a cell: the first of
#: equally good ones is taken. scikit-learn's C is 1 / (penalty x cells).
PENALTIES = (1., .1, .01, .001)
FOLDS = 3


class LinearLayer(NamedTuple):
    """Logits of K classes: ``features @ weight + bias``.

    Args:
        weight (Tensor): (C, K).
        bias (Tensor): (K,).
        converged (bool): Whether the gradient was as good as zero.
    """
    weight: Tensor
    bias: Tensor
    converged: bool

    def scores(self, features: Tensor) -> np.ndarray:
        """(N, C) -> (N, K)."""
        return (features @ self.weight + self.bias).cpu().numpy()


def fit_linear(features: Tensor, present: Tensor, penalty: float, max_iter: int = 500
               ) -> LinearLayer:
    """Logistic regression of every class at once, by L-BFGS from zero.

    The minimum of the mean of the cross entropy over cells, plus half the squared length of each
    class's weights times ``penalty``; biases are free.

    Args:
        features (Tensor): (N, C), standardised.
        present (Tensor): (N, K), 0 or 1, of the same type.
    """
    weight = features.new_zeros(features.size(1), present.size(1), requires_grad=True)
    # Of the best layer without features, so that rare classes need no steps for it.
    rate = present.mean(0).clamp(1 / (2 * len(present)), 1 - 1 / (2 * len(present)))
    bias = torch.logit(rate).requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=max_iter, tolerance_grad=1e-5,
                                  tolerance_change=1e-9, line_search_fn='strong_wolfe')

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = binary_cross_entropy_with_logits(
            features @ weight + bias, present, reduction='sum') / len(present)
        value = value + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    loss()
    assert weight.grad is not None
    return LinearLayer(weight.detach(), bias.detach(), bool(weight.grad.abs().max() < 1e-3))


def class_precisions(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Average precision of each class, (K,), 0..1; nan of a class without a positive."""
    return np.array([average_precision_score(present[:, k], scores[:, k])
                     if present[:, k].any() else np.nan for k in range(present.shape[1])])


def evaluate_cells(features_train: np.ndarray, present_train: np.ndarray,
                   features_held_out: np.ndarray, present_held_out: np.ndarray,
                   class_names: Sequence[str], penalties: Sequence[float] = PENALTIES,
                   device: str = 'cpu', progress: bool = True) -> Dict[str, Any]:
    """Fits the linear layer on training cells, and scores it on held-out ones.

    Args:
        features_train (ndarray): (N, h, w, C), of N pictures.
        present_train (ndarray): (N, K, h, w), bool: which class is where.
        features_held_out, present_held_out: Likewise, of other pictures.
        class_names (sequence[str]): K names.
        penalties (sequence[float]): Of which cross-validation over training pictures takes one.
        device (str): That fits.

    Returns:
        dict: ``mAP``; ``penalty`` and ``cv_mAP`` of each one tried; per class ``AP``,
        ``base_rate`` (AP of guessing) and numbers of positive cells; ``excluded`` (class -> why it
        is not part of the mean); ``cells`` and ``not_converged`` of ``fits``.

    Raises:
        MultiSSLError: If no class is left, or there are fewer training pictures than folds.
    """
    if len(features_train) < FOLDS:
        raise MultiSSLError(f'{len(features_train)} training pictures: cross-validation needs at '
                            f'least {FOLDS}')
    present, tested = map(_by_cell, (present_train, present_held_out))
    excluded = {name: 'no positive cell in the ' + ('training' if not present[:, k].any() else
                                                    'held-out') + ' part'
                for k, name in enumerate(class_names)
                if not (present[:, k].any() and tested[:, k].any())}
    used = [k for k, name in enumerate(class_names) if name not in excluded]
    if not used:
        raise MultiSSLError('no class is left to evaluate: none has a cell of which it covers '
                            'enough in both parts; are the pictures too few?')
    present, tested = present[:, used], tested[:, used]
    cells, others = (f.reshape(-1, f.shape[-1]) for f in (features_train, features_held_out))
    scaler = StandardScaler().fit(cells)
    train, held_out = (torch.from_numpy(scaler.transform(x)).float().to(device)
                       for x in (cells, others))
    target = torch.from_numpy(present).to(train)

    # Cells of a picture are much alike: they stay together.
    fold = np.repeat(np.arange(len(features_train)) % FOLDS, len(cells) // len(features_train))
    found = np.empty((len(penalties), FOLDS, len(used)))
    stuck, todo = 0, [(p, f) for p in range(len(penalties)) for f in range(FOLDS)]
    for p, f in progress_bar(todo, len(todo), 'cross-validation', progress):
        rest, out = (torch.from_numpy(fold != f).to(device), torch.from_numpy(fold == f).to(device))
        layer = fit_linear(train[rest], target[rest], penalties[p])
        found[p, f] = class_precisions(layer.scores(train[out]), present[fold == f])
        stuck += not layer.converged
    # A class that a fold has no positive of does not count there.
    cv = [float(np.nanmean(folds)) for folds in found]
    penalty = penalties[int(np.argmax(cv))]

    layer = fit_linear(train, target, penalty)
    precisions = class_precisions(layer.scores(held_out), tested)
    return dict(
        mAP=100 * float(precisions.mean()), penalty=penalty,
        cv_mAP={f'{p:g}': 100 * value for p, value in zip(penalties, cv)},
        classes={class_names[k]: dict(AP=100 * float(precisions[i]),
                                      base_rate=100 * float(tested[:, i].mean()),
                                      positives_train=int(present[:, i].sum()),
                                      positives_held_out=int(tested[:, i].sum()))
                 for i, k in enumerate(used)},
        excluded=excluded, cells=dict(train=len(train), held_out=len(held_out)),
        fits=len(todo) + 1, not_converged=int(stuck + (not layer.converged)))


def _by_cell(present: np.ndarray) -> np.ndarray:
    """(N, K, h, w) -> (N h w, K)."""
    return present.transpose(0, 2, 3, 1).reshape(-1, present.shape[1])
