"""How large things are: the one place that says so, for data and for lengths of runs."""
from pathlib import Path
from typing import Dict, NamedTuple, Sequence, Tuple

from mmengine.config import Config

#: Where tools/evidence/fetch.sh products leaves it.
FASHION_MNIST = 'data/evidence/packages/usr/share/datasets/fashion-mnist'


class Scale(NamedTuple):
    """A size of everything.

    Args:
        name (str): On the command line.
        folder (str): Of the configs, below ``configs/`` and ``configs/sound/``.
        epochs (float): Times those that the configs say, of pretraining.
        evaluated (float): Times those that the configs say, of models for downstream tasks.
        data (Path): Folder of the data; the demo's where the configs name it.
        pictures (dict[str, int]): What the simulator writes, by its options.
        validation (dict[str, int]): Of other scenes, which settings are chosen on.
        scenes (tuple[int, int, int]): With sound: to train on, of those with labels, and to
            test on.
        batch (int): Pictures in a batch where not what the configs say.
        sounds (int): Segments in a batch where not what the configs say.
        watched (int): Steps between two looks at the gradients of the tasks; with 1 every step is
            logged.
        heldout (int): Pictures in a batch of those that forgetting is measured on.
        products (str): Folder with Fashion-MNIST, where pictures are of real products.
    """
    name: str
    folder: str = 'demo/'
    epochs: float = 1.
    evaluated: float = 1.
    data: Path = Path('data/demo')
    pictures: Dict[str, int] = {}
    validation: Dict[str, int] = {}
    scenes: Tuple[int, int, int] = (120, 24, 24)
    batch: int = 0
    sounds: int = 0
    watched: int = 31
    heldout: int = 64
    products: str = ''

    @property
    def full(self) -> bool:
        """Whether it is the real thing: data that this project does not write."""
        return not self.pictures

    def of_products(self) -> 'Scale':
        """The same with pictures of real products instead of simulated streets."""
        return self._replace(data=Path(f'data/products_{self.name}'), products=FASHION_MNIST)

    def lengths(self, cfg: Config) -> Tuple[str, ...]:
        """Options that make a pretraining as long as it is to be; what is 0 stays 0."""
        if self.epochs == 1:
            return ()
        loop = cfg.train_cfg
        if 'stages' not in loop:
            return (f'train_cfg.max_epochs={self.longer(loop.max_epochs)}', )
        stages = [self.longer(stage) for stage in loop.stages]
        options = [f'train_cfg.stages={listed(stages)}']
        for i, scheduler in enumerate(cfg.param_scheduler):
            if scheduler.get('periods'):  # those of the stages, or one over all of them
                periods = list(filter(None, stages)) if scheduler.periods[1:] else [sum(stages)]
                options.append(f'param_scheduler.{i}.periods={listed(periods)}')
        return tuple(options)

    def longer(self, epochs: int) -> int:
        """So many epochs, at this scale."""
        return epochs and max(1, round(self.epochs * epochs))


def listed(values: Sequence[int]) -> str:
    """As an option's value."""
    return str([*values]).replace(' ', '')


def _counts(imagenet: int, voc: int, train: int, val: int) -> Dict[str, int]:
    return {'imagenet': imagenet, 'voc': voc, 'coco-train': train, 'coco-val': val}


#: ``paper`` is the real thing, of days on GPUs. The others are simulated streets: ``demo`` for a
#: CPU, ``study`` with twice the pictures, scenes and epochs, ``smoke`` to see that all of it runs:
#: its numbers say nothing.
SCALES: Dict[str, Scale] = {scale.name: scale for scale in (
    Scale('smoke', epochs=1 / 24, evaluated=1 / 30, data=Path('data/smoke'),
          pictures=_counts(64, 160, 24, 24), validation=_counts(0, 160, 24, 24),
          scenes=(6, 6, 4), batch=16, sounds=20, watched=1, heldout=8),
    Scale('demo', pictures=_counts(4000, 2000, 500, 300), validation=_counts(0, 2000, 600, 600)),
    Scale('study', epochs=2., data=Path('data/study'), pictures=_counts(8000, 4000, 1200, 600),
          validation=_counts(0, 2000, 600, 600), scenes=(240, 48, 48)),
    Scale('paper', folder='', data=Path('data'), watched=200, heldout=256))}
