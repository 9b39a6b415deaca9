"""How well pretext tasks are solved on held-out samples."""
from typing import Dict, Iterable, List, Optional, Sequence

import torch
from torch import Tensor

from ..errors import MultiSSLError
from ..models.algorithms import MultiSSL
from ..utils.model import looking_at


def pretext_scores(model: MultiSSL, batches: Iterable[dict],
                   names: Optional[Sequence[str]] = None) -> Dict[str, Dict[str, float]]:
    """Scores of pretext tasks on a whole set, see :meth:`PretextTask.score`.

    Args:
        model (nn.Module): A :class:`MultiSSL`; nothing of it changes.
        batches (iterable[dict]): As a data loader gives them.
        names (sequence[str], optional): Of the tasks; by default all that have a score.

    Returns:
        dict[str, dict[str, float]]: Metrics by task.

    Raises:
        MultiSSLError: If there is no such task, or one has no score, or there is no batch.
    """
    if names is None:
        names = [name for name, task in model.tasks.items() if task.scored]
    unknown = [name for name in names if name not in model.tasks]
    if unknown:
        raise MultiSSLError(f"the model has no task '{unknown[0]}'; it has "
                            f'{", ".join(model.tasks)}')
    tasks = {name: model.tasks[name] for name in names}
    unscored = [name for name, task in tasks.items() if not task.scored] or (
        list(model.tasks) if not tasks else [])
    if unscored:
        raise MultiSSLError(f'{", ".join(unscored)}: contrast with a queue and the like have no '
                            'score (PretextTask.score)')
    found: Dict[str, List[Dict[str, Tensor]]] = {name: [] for name in tasks}
    with looking_at(model):
        for data in batches:
            data = model.data_preprocessor(data, False)
            batch = model.batch(model.name_views(data['inputs']), data['data_samples'],
                                list(tasks.values()))
            for name, task in tasks.items():
                targets = {k: batch.inputs[k] for k in task.inputs if batch.inputs[k].dim() == 1}
                # Responses and inputs may have the same name: the predicted gap and the true one.
                found[name].append({
                    **{f'response {k}': v.cpu() for k, v in task.responses(batch).items()},
                    **{f'input {k}': v.cpu() for k, v in targets.items()}
                })
    scores = {}
    for name, parts in found.items():
        if not parts:
            raise MultiSSLError(f'there is no batch to score task {name} on')
        whole = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
        scores[name] = tasks[name].score(_of(whole, 'response '), _of(whole, 'input '))
    return scores


def _of(tensors: Dict[str, Tensor], kind: str) -> Dict[str, Tensor]:
    return {k[len(kind):]: v for k, v in tensors.items() if k.startswith(kind)}
