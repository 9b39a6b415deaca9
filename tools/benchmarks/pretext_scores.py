"""How well the pretext tasks of sound are solved on held-out scenes, checkpoint by checkpoint.

    RUN=work_dirs/il_b_c_a
    python tools/benchmarks/pretext_scores.py configs/sound/il_b_c_a.py \
        $RUN/stage1_b.pth $RUN/stage2_c.pth $RUN/final.pth

A: top-1 of 8 rotations. B: top-1 among 8 segments of the same scene. C: correlation of predicted
and true gap. Of an incremental run give the checkpoint of every stage: what a task loses in a later
stage is what was forgotten. A task that was not learned yet is not scored.
"""
import argparse
import json
from pathlib import Path
from typing import Dict, List, Optional

import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.datasets import KeyedDataset, ViewKey
from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.pretext_scores import pretext_scores
from multissl_mm.models.algorithms.base import MultiSSL
from multissl_mm.registry import MODELS
from multissl_mm.runtime import check_data, load_config
from multissl_mm.utils.checkpoint import load_state_dict_file
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically

Scores = Dict[str, Dict[str, float]]


def held_out(cfg: Config, split: str, replicas: int, batch_size: int) -> DataLoader:
    """Batches of a split of the training data's dataset; the same views at every call."""
    dataset = cfg.train_dataloader.dataset.dataset.copy()
    if 'split' not in dataset:
        raise MultiSSLError('train_dataloader.dataset.dataset has no split: the scores are those '
                            'of a multissl_mm.OmniAudioDataset')
    dataset.split = split
    keyed = KeyedDataset(dataset)
    keyed.full_init()
    # Segments of a scene stay neighbours: the candidates of task B.
    keys = [ViewKey(0, replica, i) for replica in range(replicas) for i in range(len(keyed))]
    return DataLoader(keyed, batch_size, sampler=keys, num_workers=0,
                      collate_fn=default_collate)


def learned(model: MultiSSL) -> List[str]:
    """Names of the tasks that the loaded weights have learned."""
    names = list(model.tasks)
    return names[:int(model.stage) + 1] if hasattr(model, 'stage') else names


def score(cfg: Config, checkpoint: Optional[str], batches: DataLoader,
          device: str = 'auto') -> Scores:
    """Scores of the tasks that a checkpoint has learned; of random weights, of all tasks."""
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.model.get(
        'data_preprocessor', cfg.get('data_preprocessor'))))
    model.init_weights()
    if checkpoint is not None:
        model.load_state_dict(load_state_dict_file(checkpoint))
    model.to(get_device() if device == 'auto' else device)
    names = list(model.tasks) if checkpoint is None else learned(model)
    return pretext_scores(model, batches, names)


def show(rows: Dict[str, Scores], title: str, console: Optional[Console] = None) -> None:
    """Prints a table: a row per checkpoint, a column per task."""
    columns = list(dict.fromkeys((task, metric) for row in rows.values()
                                 for task, scores in row.items() for metric in scores))
    table = Table('', *[f'{task} {metric}' for task, metric in columns], title=title)
    for name, row in rows.items():
        table.add_row(name, *[f'{row[task][metric]:.3f}' if task in row else '-'
                              for task, metric in columns])
    (console or Console()).print(table)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('checkpoints', nargs='+', help="files; 'random' for random weights")
    parser.add_argument('--split', default='val', choices=['train', 'val', 'test'])
    parser.add_argument('--replicas', type=int, default=4, help='times that every segment is '
                        'shown, each in another view (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--device', default='auto')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='change entries of the config')
    parser.add_argument('--out', type=Path, metavar='JSON')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'multissl_mm'))
    torch.manual_seed(0)
    check_data(cfg, ('train', ))
    batches = held_out(cfg, args.split, args.replicas, args.batch_size)
    rows: Dict[str, Scores] = {}
    for path in track(args.checkpoints, 'scores', transient=True):
        name = path if path == 'random' else Path(path).stem
        rows[name] = score(cfg, None if path == 'random' else path, batches, args.device)
    show(rows, f'Pretext tasks, {args.split} scenes')
    if args.out:
        write_atomically(args.out, json.dumps(rows, indent=2))


if __name__ == '__main__':
    run_tool(main)
