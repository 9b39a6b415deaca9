"""Scores of pretext tasks on held-out samples, checkpoint by checkpoint."""
import copy
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from rich.table import Table
from torch.utils.data import DataLoader

from ..apis import is_random, load_model
from ..datasets import KeyedDataset, ViewKey
from ..errors import MultiSSLError
from ..models.algorithms import MultiSSL
from ..models.protocols import Staged
from ..runtime import check_data, load_config
from ..utils.checkpoint import some
from ..utils.cli import progress_bar
from ..utils.files import AnyPath
from ..utils.wrappers import leaves
from .pretext_scores import pretext_scores

#: Metrics by task.
Scores = Dict[str, Dict[str, float]]


def score_checkpoints(config: Union[AnyPath, Config], checkpoints: Sequence[AnyPath],
                      split: str = 'val', replicas: int = 4, batch_size: int = 64,
                      device: str = 'auto', progress: bool = False) -> Dict[str, Scores]:
    """Scores the tasks that each checkpoint has learned, see :func:`pretext_scores`.

    Args:
        config (str | Config): Of the pretraining.
        checkpoints (sequence[str]): Files; ``random`` for random weights, of which all tasks are
            scored. Of an incremental run those of its stages: what a task loses in a later stage is
            what was forgotten.
        split (str): Of the dataset that the training data are of, of each one in a wrapper. Where
            the config names no split, as of a folder of pictures, all of it is scored: let it name
            other data.
        replicas (int): Times that every sample is shown, each in another view.
        batch_size (int): Also the number of candidates of contrastive tasks.
        device (str): ``auto`` for what there is.
        progress (bool): Show a bar.

    Returns:
        dict: Scores by the name of each file, without its ending; by its path where there are
            others of that name.

    Raises:
        MultiSSLError: If the config's data are not there, if only some of them have a split, or if
            a checkpoint does not fill the model.
    """
    cfg = load_config(config)
    check_data(cfg, ('train', ))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'multissl_mm')):
        batches = held_out(cfg, split, replicas, batch_size)
        rows: Dict[str, Scores] = {}
        stems = [Path(path).stem for path in checkpoints]
        for path in progress_bar(checkpoints, len(checkpoints), 'scores', progress):
            model = load_model(cfg, path, device)
            if not isinstance(model, MultiSSL):
                raise MultiSSLError(f'{type(model).__name__} has no pretext tasks to score')
            if is_random(path):
                rows['random'] = pretext_scores(model, batches)
            else:
                name = Path(path).stem
                rows[name if stems.count(name) == 1 else str(path)] = pretext_scores(
                    model, batches, learned_tasks(model))
    return rows


def held_out(cfg: Config, split: str, replicas: int, batch_size: int) -> DataLoader:
    """Batches of a split of the training data's dataset; the same views at every call."""
    dataset = copy.deepcopy(cfg.train_dataloader.dataset.dataset)
    parts = list(leaves(dataset))
    without = [str(part.get('type')) for part in parts if 'split' not in part]
    if 0 < len(without) < len(parts):
        raise MultiSSLError(f'of the data in train_dataloader.dataset.dataset {some(without)} name '
                            f'no split, so what they train on would count as {split}; give each '
                            'one a split, or let the config name other data')
    if not without:
        for part in parts:
            part['split'] = split
    keyed = KeyedDataset(dataset)
    keyed.full_init()
    # Segments of a scene stay neighbours: the candidates of task B.
    keys = [ViewKey(0, replica, i) for replica in range(replicas) for i in range(len(keyed))]
    return DataLoader(keyed, batch_size, sampler=keys, num_workers=0, collate_fn=default_collate)


def learned_tasks(model: MultiSSL) -> List[str]:
    """Names of the tasks that a model's loaded weights have learned, of those that have a score."""
    names = model.task_names[:int(model.stage) + 1] if isinstance(model, Staged) else model.tasks
    return [name for name in names if model.tasks[name].scored]


def scores_table(rows: Dict[str, Scores], title: Optional[str] = None) -> Table:
    """A row per checkpoint, a column per task and metric."""
    columns = list(dict.fromkeys((task, metric) for row in rows.values()
                                 for task, scores in row.items() for metric in scores))
    table = Table('', *[f'{task} {metric}' for task, metric in columns], title=title)
    for name, row in rows.items():
        table.add_row(name, *[f'{row[task][metric]:.3f}' if task in row else '-'
                              for task, metric in columns])
    return table
