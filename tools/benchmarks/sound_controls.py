"""Do the pretext tasks of sound learn from sound? With it, they must; without it, they must not.

    python tools/benchmarks/sound_controls.py                # or --rows a a_noise

Trains A, B and C alone at demo size and scores them on training and on held-out scenes; then A and
B with every sound replaced by noise of the same power, and C where only the ambience of each place
is heard. What a control learns was read off the picture (a memorised background shows first on
training scenes) or is a leak of time into the ambience. Exit status 1 if a bound is missed.
"""
import argparse
import json
import math
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from multissl_mm.utils.cli import run_tool
from multissl_mm.utils.files import write_atomically
from multissl_mm.utils.steps import ROOT, Steps

sys.path.insert(0, str(ROOT / 'tools'))
from demo_sound import sound_data  # noqa: E402

AMBIENCE = 'data/demo_ambience/omniaudio'


class Row(NamedTuple):
    """A run: what is trained, on what sound, and what its score must be."""
    title: str
    config: str
    metric: str
    least: float = -math.inf  # on held-out scenes
    most: float = math.inf  # on training and held-out scenes
    noise: bool = False
    data: str = ''


ROWS: Dict[str, Row] = dict(
    a=Row('A', 'a', 'top1', least=.55),
    b=Row('B', 'b', 'top1', least=.60),
    c=Row('C', 'c', 'correlation', least=.5),
    # Guessing is 0.125; 576 samples of 24 scenes have a standard error of 0.014.
    a_noise=Row('A, noise', 'a', 'top1', most=.18, noise=True),
    b_noise=Row('B, noise', 'b', 'top1', most=.18, noise=True),
    c_ambience=Row('C, ambience alone', 'c', 'correlation', most=.15, data=f'{AMBIENCE}_32x128/'))


def config_of(row: Row, epochs: int) -> Config:
    """The demo's config of a task, with what a control changes."""
    cfg = Config.fromfile(ROOT / f'configs/sound/demo/{row.config}.py')
    dataset = cfg.train_dataloader.dataset.dataset
    if row.noise:
        steps = [dict(step) for step in dataset.pipeline]
        last = max(i for i, step in enumerate(steps) if step['type'].split('.')[-1].startswith(
            ('LoadClip', 'LoadOther')))
        dataset.pipeline = [*steps[:last + 1], dict(type='multissl_mm.SoundToNoise'),
                            *steps[last + 1:]]
    if row.data:
        dataset.data_root = row.data
    if epochs:
        cfg.train_cfg.max_epochs = epochs
        cfg.param_scheduler[0].periods = [epochs]
    return cfg


def run_row(steps: Steps, out: Path, name: str, epochs: int) -> Dict[str, float]:
    """Scores on training and held-out scenes."""
    row, folder = ROWS[name], out / name
    cfg = config_of(row, epochs)
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(ROOT / folder / 'config.py')
    last = folder / f'epoch_{cfg.train_cfg.max_epochs}.pth'
    steps.run(f'{row.title}: {cfg.train_cfg.max_epochs} epochs', name, 'tools/train.py',
              str(folder / 'config.py'), '--work-dir', str(folder), '--resume', done=ROOT / last)
    found = {}
    for split in ('train', 'val'):
        path = folder / f'{split}.json'
        steps.run(f'{row.title}: {split} scenes', f'{name}_{split}',
                  'tools/benchmarks/pretext_scores.py', str(folder / 'config.py'), str(last),
                  '--split', split, '--replicas', '1' if split == 'train' else '2', '--out',
                  str(path), done=ROOT / path)
        scores = json.loads((ROOT / path).read_text())
        found[split] = scores[last.stem][row.config][row.metric]
    return found


def missed(row: Row, scores: Dict[str, float]) -> bool:
    """Whether a score breaks a bound."""
    return scores['val'] < row.least or max(map(abs, scores.values())) > row.most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', nargs='+', choices=list(ROWS), default=list(ROWS))
    parser.add_argument('--epochs', type=int, default=0, help="instead of the configs' own")
    parser.add_argument('--out', type=Path, default=Path('work_dirs/sound_controls'))
    args = parser.parse_args()
    console = Console()
    steps = Steps(ROOT / args.out / 'logs', console=console)
    if any(not ROWS[name].data for name in args.rows):
        sound_data(steps)
    if any(ROWS[name].data for name in args.rows):
        sound_data(steps, AMBIENCE, '--no-vehicle-sound')
    scores = {name: run_row(steps, args.out, name, args.epochs) for name in args.rows}
    table = Table('task', 'metric', 'training scenes', 'held-out scenes', 'bound', '')
    bad: List[str] = []
    for name, found in scores.items():
        row = ROWS[name]
        bound = f'>= {row.least:g}' if row.least > -math.inf else f'<= {row.most:g}'
        wrong = missed(row, found)
        bad += [name] * wrong
        table.add_row(row.title, row.metric, f'{found["train"]:.3f}', f'{found["val"]:.3f}', bound,
                      'MISSED' if wrong else 'holds')
    console.print(table)
    write_atomically(ROOT / args.out / 'scores.json', json.dumps(scores, indent=2))
    if bad:
        raise SystemExit(1)


if __name__ == '__main__':
    run_tool(main)
