"""How good are the features so far? An online k-nearest-neighbours probe."""
from typing import Any, Iterable, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from ...datasets.keyed import ViewKey
from ...errors import MultiSSLError
from ...registry import HOOKS
from ...utils.model import looking_at, pooled, unwrap
from .watching import build_dataset, loader, report, while_wanted


@HOOKS.register_module()
class KNNHook(Hook):
    """Top-1 accuracy of weighted kNN on frozen features, ``knn/top1`` in percent.

    A feature is the last stage's output averaged over its positions, L2-normalised. The k nearest
    of the bank vote for their class with weight exp(cosine / T) (InstDisc, Wu et al. 2018,
    section 3.4; DINO). Looks at most at ``max_bank`` and ``max_queries`` pictures, spread evenly
    over the datasets and always the same ones, in eval mode; training does not notice.

    Args:
        bank (dict): Config of a labelled dataset whose pipeline gives one view of a sample.
        queries (dict): The same, of other samples.
        interval (int): Epochs between two looks; there is one after the last epoch, too.
            Defaults to 10.
        k (int): Neighbours. Defaults to 20.
        temperature (float): T. Defaults to 0.07.
        max_bank (int): Defaults to 50000.
        max_queries (int): Defaults to 10000.
        batch_size (int): Per rank. Defaults to 64.
    """

    def __init__(self, bank: dict, queries: dict, interval: int = 10, k: int = 20,
                 temperature: float = 0.07, max_bank: int = 50000, max_queries: int = 10000,
                 batch_size: int = 64) -> None:
        self.cfgs = dict(bank=bank, queries=queries)
        self.limits = dict(bank=max_bank, queries=max_queries)
        self.interval, self.k, self.temperature = interval, k, temperature
        self.batch_size = batch_size
        self.datasets: dict = {}

    def before_train(self, runner: Runner) -> None:
        """Builds the datasets: what is wrong with them shows now, not after the first epochs."""
        for name, cfg in self.cfgs.items():
            self.datasets[name] = build_dataset(runner, cfg, f'KNNHook.{name}')
            check_sample(self.datasets[name][ViewKey(0, 0, 0)], f'KNNHook.{name}')

    def after_train_epoch(self, runner: Runner) -> None:
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            model = unwrap(runner.model)
            bank, queries = (
                features(model, while_wanted(runner, loader(
                    runner, dataset, self.limits[name], self.batch_size)))
                for name, dataset in self.datasets.items())
            top1 = accuracy(*bank, *queries, self.k, self.temperature)
            report(runner, {'knn/top1': top1}, runner.epoch + 1, runner.iter)


def features(model: Any, batches: Iterable[dict]) -> Tuple[Tensor, Tensor]:
    """Normalised features (M, D) of this rank's pictures, and their labels (M,).

    Args:
        model (BaseModel): With ``backbone`` and ``data_preprocessor``.
        batches (iterable[dict]): ``inputs`` (N, C, H, W) and ``data_samples`` with ``gt_label``.
    """
    rows, labels = [], []
    with looking_at(model):
        for batch in batches:
            data = model.data_preprocessor(batch, False)
            rows.append(F.normalize(pooled(model.backbone(data['inputs'])).float(), dim=1))
            labels.append(torch.stack([s.gt_label.view(()) for s in data['data_samples']]))
    return torch.cat(rows), torch.cat(labels).to(rows[0].device)


def check_sample(sample: dict, key: str) -> None:
    """Refuses what :func:`features` cannot use."""
    if not isinstance(sample['inputs'], Tensor):
        raise MultiSSLError(f'{key}: the pipeline gives {len(sample["inputs"])} views of a sample; '
                            'it must give one, without MultiView')
    label = getattr(sample.get('data_samples'), 'gt_label', None)
    if label is None or label.numel() != 1:
        raise MultiSSLError(f'{key}: a sample has no label, or several; the dataset must have one '
                            'class per picture, and its pipeline must end with PackInputs')


def accuracy(bank: Tensor, bank_labels: Tensor, queries: Tensor, query_labels: Tensor, k: int,
             temperature: float) -> float:
    """Top-1 accuracy in percent, of the queries of all ranks in the bank of all ranks.

    Each rank finds the k nearest of all queries in its own part of the bank; the k nearest of
    those are the k nearest of the whole, and no rank ever holds the whole.

    Args:
        bank (Tensor): (M, D), L2-normalised, this rank's part; as many on every rank.
        bank_labels (Tensor): (M,).
        queries (Tensor): (Q, D), this rank's part; as many on every rank.
        query_labels (Tensor): (Q,).
    """
    queries, query_labels = (torch.cat(all_gather(x)) for x in (queries, query_labels))
    found = [nearest(q, bank, bank_labels, k) for q in queries.split(1024)]
    similar, labels = (torch.cat(all_gather(torch.cat(parts)), dim=1)  # (Q, ranks * k)
                       for parts in zip(*found))
    similar, labels = topk(similar, labels, k)
    votes = similar.new_zeros(len(queries), int(labels.max()) + 1)  # (Q, classes)
    votes.scatter_add_(1, labels, (similar / temperature).exp())
    return 100 * (votes.argmax(1) == query_labels).float().mean().item()


def nearest(queries: Tensor, bank: Tensor, labels: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    """Cosines (Q, k) of the k nearest in a bank, and their labels (Q, k)."""
    return topk(queries @ bank.t(), labels.expand(len(queries), -1), k)


def topk(similar: Tensor, labels: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    """The k largest of each row (Q, M), and what stands at their places in ``labels``."""
    similar, places = similar.topk(min(k, similar.size(1)), dim=1)
    return similar, labels.gather(1, places)
