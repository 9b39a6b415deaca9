"""Many linear SVMs at once, on the Gram matrix that they share.

The fits of an evaluation (classes x costs x folds) are one problem with other labels, costs and
rows. ``LinearSVC`` starts each from the features; here all are columns of one matrix, a product
with the Gram matrix serves them all, and it runs on a GPU as well. Measured against one
``LinearSVC`` after another in docs/performance.md. (cuML has a ``LinearSVC`` for GPUs, but one fit
at a time, and scikit-learn's ``SVC`` on a precomputed Gram matrix has no squared hinge.)
"""
from typing import Sequence, Tuple

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

#: Newton steps (10 are usual), and products with the Gram matrix for a step of all problems.
STEPS, PRODUCTS = 60, 50
#: Share of the rows inside the margin below which a system is factorised: it is small by then, and
#: badly conditioned where costs are high.
FACTORISED = 0.4


class GramSVMs:
    """Linear SVMs on rows of the same features, fitted together.

    Args:
        x (ndarray): (N, D) features.
        positive_weight (float): By which the cost of a positive is multiplied.
        device (str): Of the fits; takes about ``24 N (N + 4 M)`` bytes for M problems.
    """

    def __init__(self, x: np.ndarray, positive_weight: float, device: str = 'cpu') -> None:
        self.x = torch.as_tensor(x, dtype=torch.float64, device=device)
        self.gram = gram_matrix(self.x)
        self.positive_weight = positive_weight

    def cross_validate(self, y: np.ndarray, costs: Sequence[float], folds: int
                       ) -> Tuple[np.ndarray, int]:
        """As ``cross_validate(LinearSVC, cv=folds, scoring='average_precision')`` per class, cost.

        Args:
            y (ndarray): (N, classes), 1 or -1.

        Returns:
            tuple: Mean precision over the folds (classes, costs), and how many fits are not solved.
        """
        problems = [(c, rest, cost) for c, column in enumerate(y.T)
                    for cost in costs for _, rest in StratifiedKFold(folds).split(y, column)]
        used = np.ones((len(y), len(problems)))
        for m, (_, rest, _) in enumerate(problems):
            used[rest, m] = 0
        scores, _, solved = self.fit(y[:, [c for c, _, _ in problems]],
                                     np.array([cost for _, _, cost in problems]), used)
        precisions = [average_precision_score(y[rest, c], scores[rest, m])
                      for m, (c, rest, _) in enumerate(problems)]
        return (np.reshape(precisions, (y.shape[1], len(costs), folds)).mean(axis=2),
                int((~solved).sum()))

    def fit(self, y: np.ndarray, cost: np.ndarray, used: np.ndarray
            ) -> Tuple[np.ndarray, Tensor, np.ndarray]:
        """M problems at once.

        Args:
            y (ndarray): (N, M), 1 or -1.
            cost (ndarray): (M,).
            used (ndarray): (N, M), 1 for rows to learn from, 0 for others.

        Returns:
            tuple: Scores of all rows (N, M), the dual coefficients for :meth:`score`, and which
            problems are solved (M,).
        """
        weight = used * cost * np.where(y > 0, self.positive_weight, 1)
        beta, scores, solved = fit_svms(self.gram, torch.as_tensor(y).to(self.gram),
                                        torch.as_tensor(weight).to(self.gram))
        return scores.cpu().numpy(), beta, solved.cpu().numpy()

    def score(self, beta: Tensor, x: np.ndarray) -> np.ndarray:
        """Scores (n, M) of other features (n, D)."""
        return x @ (self.x.T @ beta).cpu().numpy() + beta.sum(0).cpu().numpy()


def gram_matrix(x: Tensor) -> Tensor:
    """(N, N) inner products of rows (N, D) with a constant 1 each, ``LinearSVC``'s intercept."""
    return x @ x.T + 1


def fit_svms(gram: Tensor, y: Tensor, cost: Tensor,
             tol: float = 1e-4) -> Tuple[Tensor, Tensor, Tensor]:
    """Minimises ``|w|^2 / 2 + sum_i cost_i max(0, 1 - y_i w x_i)^2`` for each of M problems.

    That is what ``LinearSVC(loss='squared_hinge')`` minimises. Newton's method on the rows inside
    the margin (Chapelle, "Training a support vector machine in the primal", 2007). Its systems
    are solved by conjugate gradients for all problems together, in single precision, since the
    next step starts from what is left in double precision, or by Cholesky's method once they are
    small. Problems that are done leave.

    Args:
        gram (Tensor): (N, N), see :func:`gram_matrix`; float64.
        y (Tensor): (N, M), 1 or -1.
        cost (Tensor): (N, M), times class weights; 0 for rows that are no part of the problem.
        tol (float): Done when a Newton step moves no score by more than this, in units of the
            margin.

    Returns:
        tuple: ``beta`` (N, M) with ``w = x.T @ beta`` (and the sum of beta the intercept), scores
        ``gram @ beta`` (N, M), which are validation scores where the cost is 0, and whether each
        problem is solved to ``tol`` (M,), bool.
    """
    all_beta, all_scores = torch.zeros_like(y), torch.zeros_like(y)
    todo = torch.arange(y.shape[1], device=y.device)
    single = gram.float()
    for _ in range(STEPS):
        y_, cost_, beta, scores = (a[:, todo] for a in (y, cost, all_beta, all_scores))
        inside = (y_ * scores < 1) & (cost_ > 0)
        ridge = torch.where(inside, .5 / cost_, 0.)
        small = inside.sum(0) < FACTORISED * len(gram)
        target = torch.zeros_like(beta)
        exact = torch.ones_like(small)
        for column in small.nonzero()[:, 0]:
            rows = inside[:, column].nonzero()[:, 0]
            target[rows, column] = _factorised(gram, rows, ridge[rows, column], y_[rows, column])
        if not small.all():
            large = ~small
            start = beta[:, large] * inside[:, large]
            rest = inside[:, large] * (y_[:, large] - gram @ start - ridge[:, large] * start)
            # Much closer than tol: else a step at high costs need not lead down.
            found, exact[large] = _conjugate_gradients(
                single, inside[:, large].float(), ridge[:, large].float(), rest.float(), tol / 100)
            target[:, large] = start + found
        step = target - beta
        change = gram @ step
        t = _line_search(beta, step, scores, change, y_, cost_)
        all_beta[:, todo] = beta + t * step
        all_scores[:, todo] = scores + t * change
        todo = todo[~exact | (change.abs().amax(0) > tol)]
        if not len(todo):
            break
    solved = torch.ones(y.shape[1], dtype=torch.bool, device=y.device)
    solved[todo] = False
    return all_beta, all_scores, solved


def _factorised(gram: Tensor, rows: Tensor, ridge: Tensor, y: Tensor) -> Tensor:
    """``x`` with ``(gram + ridge) x = y`` on some rows."""
    system = gram[rows[:, None], rows]
    system.diagonal().add_(ridge)
    return torch.cholesky_solve(y[:, None], torch.linalg.cholesky(system))[:, 0]


def _conjugate_gradients(gram: Tensor, inside: Tensor, ridge: Tensor, residual: Tensor,
                         tol: float) -> Tuple[Tensor, Tensor]:
    """``x`` (N, M) with ``(gram + ridge) x = residual`` on the rows inside; to ``tol`` or not."""
    scale = inside / (gram.diagonal()[:, None] + ridge)
    x, out = torch.zeros_like(residual), torch.zeros_like(residual)
    todo = torch.arange(out.shape[1], device=out.device)
    direction = scale * residual
    rho = (residual * direction).sum(0)
    for _ in range(PRODUCTS):
        kept = residual.abs().amax(0) > tol
        if not kept.all():
            out[:, todo] = x
            todo, x, residual, direction, rho, inside, ridge, scale = (
                a[..., kept] for a in (todo, x, residual, direction, rho, inside, ridge, scale))
            if not len(todo):
                break
        image = inside * (gram @ direction) + ridge * direction
        alpha = rho / (direction * image).sum(0)
        x = x + alpha * direction
        residual = residual - alpha * image
        scaled = scale * residual
        last, rho = rho, (residual * scaled).sum(0)
        direction = scaled + rho / last * direction
    out[:, todo] = x
    exact = torch.ones(out.shape[1], dtype=torch.bool, device=out.device)
    exact[todo] = residual.abs().amax(0) <= tol
    return out, exact


def _line_search(beta: Tensor, step: Tensor, scores: Tensor, change: Tensor, y: Tensor,
                 cost: Tensor) -> Tensor:
    """How far to go, (M,) in (0, 1]: the lowest point on the way, by halving."""
    linear, square = (beta * change).sum(0), (step * change).sum(0)

    def slope(t: Tensor) -> Tensor:
        slack = (1 - y * (scores + t * change)).clamp_min(0)
        return linear + t * square - 2 * (cost * y * change * slack).sum(0)

    low, high = torch.zeros_like(linear), torch.ones_like(linear)
    if (slope(high) <= 0).all():
        return high
    past = slope(high) > 0
    for _ in range(20):
        middle = (low + high) / 2
        up = slope(middle) > 0
        low, high = torch.where(up, low, middle), torch.where(up, middle, high)
    return torch.where(past, (low + high) / 2, 1.)
