"""How well pretext tasks are solved on held-out samples, checkpoint by checkpoint.

    RUN=work_dirs/il_b_c_a
    python tools/benchmarks/pretext_scores.py configs/sound/il_b_c_a.py \
        $RUN/stage1_b.pth $RUN/stage2_c.pth $RUN/final.pth

A: top-1 of 8 rotations. B: top-1 among 8 segments of the same scene. C: correlation of predicted
and true gap. Of an incremental run give the checkpoint of every stage: what a task loses in a later
stage is what was forgotten. A task that was not learned yet is not scored, nor one without a score
(M, D). Data without splits are named by
--cfg-options train_dataloader.dataset.dataset.data_root=DIR.
"""
import argparse
import json

from rich.console import Console

import multissl_mm  # noqa: F401  (creates the scope of its registries)
from multissl_mm.evaluation.checkpoint_scores import score_checkpoints, scores_table
from multissl_mm.runtime import add_cfg_options, apply_options, load_config
from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically
from multissl_mm.utils.permissions import ALLOW_OUTSIDE, TRUST_CHECKPOINT, add_permissions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('config')
    add('checkpoints', nargs='+', help="files; 'random' for random weights")
    add('--split', default='val', choices=['train', 'val', 'test'])
    add('--replicas', type=int, default=4, help='times that every sample is shown, each in '
        'another view (default: %(default)s)')
    add('--batch-size', type=int, default=64)
    add('--device', default='auto')
    add_cfg_options(parser)
    add('--out', metavar='JSON')
    add_permissions(parser, ALLOW_OUTSIDE, TRUST_CHECKPOINT)
    add('--traceback', action='store_true', help='show where an error comes from')
    args = parser.parse_args()
    cfg = load_config(args.config)
    apply_options(cfg, args.cfg_options)
    rows = score_checkpoints(cfg, args.checkpoints, args.split, args.replicas, args.batch_size,
                             args.device, progress=True)
    Console(markup=False).print(scores_table(rows, f'Pretext tasks, {args.split}'))
    if args.out:
        write_atomically(args.out, json.dumps(rows, indent=2))


if __name__ == '__main__':
    run_tool(main)
