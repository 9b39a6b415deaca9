"""Do the pretext tasks of sound learn from sound? With it, they must; without it, they must not."""
import json
import math
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Sequence

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from ..engine.hooks.checkpoint import FINAL
from ..errors import MultiSSLError
from ..utils.files import read_json, write_atomically
from ..utils.names import bare
from ..utils.project import project_file
from .data import RECORDED, converted, sound_data
from .steps import Steps

#: Scenes in which only the ambience of each place is heard.
AMBIENCE = Path('data/demo_ambience/omniaudio')


#: Of a training: half as many again as the demo's, so that what can be learned has been.
EPOCHS = 24


class Control(NamedTuple):
    """A run: what is trained, on what sound, and what its score must be."""
    title: str
    config: str
    metric: str
    least: float = -math.inf  # on held-out scenes
    most: float = math.inf  # on training and held-out scenes
    noise: bool = False
    data: Path = RECORDED

    def missed(self, scores: Dict[str, float]) -> bool:
        """Whether a score breaks a bound."""
        return scores['val'] < self.least or max(map(abs, scores.values())) > self.most


CONTROLS: Dict[str, Control] = dict(
    a=Control('A', 'a', 'top1', least=.55),
    b=Control('B', 'b', 'top1', least=.60),
    c=Control('C', 'c', 'correlation', least=.5),
    # Guessing is 0.125; 576 samples of 24 scenes have a standard error of 0.014.
    a_noise=Control('A, noise', 'a', 'top1', most=.18, noise=True),
    b_noise=Control('B, noise', 'b', 'top1', most=.18, noise=True),
    c_ambience=Control('C, ambience alone', 'c', 'correlation', most=.15, data=AMBIENCE))


def run_sound_controls(rows: Optional[Sequence[str]] = None,
                       out: Path = Path('work_dirs/sound_controls'),
                       options: Sequence[str] = (), console: Optional[Console] = None
                       ) -> Dict[str, bool]:
    """Trains A, B and C at demo size with and without what they should learn from.

    Scores are of training and of held-out scenes; without means every sound replaced by noise of
    the same power (A, B), or the ambience of each place alone (C). What a control learns was read
    off the picture (a memorised background shows first on training scenes) or is a leak of time
    into the ambience. Half an hour on two cores; what is finished is not done again.

    Args:
        rows (sequence[str], optional): Keys of :data:`CONTROLS`. Defaults to all.
        out (Path): Folder for runs and ``scores.json``.
        options (sequence[str]): ``KEY=VALUE`` changes of the configs, as for ``tools/train.py``.
        console (Console, optional): Where progress and the table are printed.

    Returns:
        dict: Of every row, whether its bound holds.
    """
    unknown = sorted(set(rows or ()) - set(CONTROLS))
    if unknown:
        raise MultiSSLError(f'there is no control {", ".join(unknown)}; there are '
                            f'{", ".join(CONTROLS)}')
    controls = {name: CONTROLS[name] for name in rows or CONTROLS}
    steps = Steps(out / 'logs', console=console)
    if any(control.data == RECORDED for control in controls.values()):
        sound_data(steps)
    if any(control.data == AMBIENCE for control in controls.values()):
        sound_data(steps, AMBIENCE, '--no-vehicle-sound')
    scores = {name: _run(steps, out / name, control, options)
              for name, control in controls.items()}
    table = Table('task', 'metric', 'training scenes', 'held-out scenes', 'bound', '')
    holds: Dict[str, bool] = {}
    for name, found in scores.items():
        control = controls[name]
        holds[name] = not control.missed(found)
        bound = f'>= {control.least:g}' if control.least > -math.inf else f'<= {control.most:g}'
        table.add_row(control.title, control.metric, f'{found["train"]:.3f}',
                      f'{found["val"]:.3f}', bound, 'holds' if holds[name] else 'MISSED')
    steps.console.print(table)
    write_atomically(out / 'scores.json', json.dumps(scores, indent=2))
    return holds


def control_config(control: Control) -> Config:
    """The demo's config of a task, with what a control changes."""
    cfg = Config.fromfile(project_file(f'configs/sound/demo/{control.config}.py'))
    cfg.train_cfg.max_epochs = EPOCHS
    dataset = cfg.train_dataloader.dataset.dataset
    if control.noise:
        steps = [dict(step) for step in dataset.pipeline]
        last = max(i for i, step in enumerate(steps) if bare(step['type']).startswith(
            ('LoadClip', 'LoadOther')))
        dataset.pipeline = [*steps[:last + 1], dict(type='multissl_mm.SoundToNoise'),
                            *steps[last + 1:]]
    if control.data != RECORDED:
        dataset.data_root = f'{converted(control.data)}/'
    return cfg


def _run(steps: Steps, folder: Path, control: Control, options: Sequence[str]) -> Dict[str, float]:
    """Scores on training and held-out scenes."""
    config, final, told = folder / 'config.py', folder / FINAL, folder / 'options.json'
    if final.exists() and (read_json(told) if told.exists() else []) != [*options]:
        raise MultiSSLError(f'{folder} was made with other --cfg-options than '
                            f'{" ".join(options) or "none"}; remove it, or choose another --out')
    write_atomically(config, control_config(control).pretty_text)
    write_atomically(told, json.dumps(options))
    given = ['--cfg-options', *options] if options else []
    steps.run(f'{control.title}: training', folder.name, project_file('tools/train.py'),
              str(config), '--work-dir', str(folder), '--resume', *given, done=final)
    found: Dict[str, float] = {}
    for split in ('train', 'val'):
        path = folder / f'{split}.json'
        steps.run(f'{control.title}: {split} scenes', f'{folder.name}_{split}',
                  project_file('tools/benchmarks/pretext_scores.py'), str(config), str(final),
                  '--split', split, '--replicas', '1' if split == 'train' else '2', '--out',
                  str(path), *given, done=path)
        scores, = read_json(path).values()
        found[split] = scores[control.config][control.metric]
    return found
