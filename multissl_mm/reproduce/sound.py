"""Tables 2a, 2b and 3 of the paper: what sound encoders are worth, by SP, VR and S3R."""
from typing import Dict, Optional, Sequence, Tuple

from ..utils.project import project_file
from .results import GUESSING, Column, PaperTable
from .rows import Row, TableRun

DOWNSTREAM = ('sp', 'vr', 's3r')
COLUMNS = (
    Column('SP mIoU', 'sp', 'mIoU', paper=0, without='constant'),
    Column('restricted', 'sp', 'mIoU_restricted'),
    Column('VR, sounds', 'vr', 'sound_top1', paper=1, without='sound_chance'),
    Column('VR, videos', 'vr', 'video_top1', without='video_chance'),
    Column('S3R error', 's3r', 'error', 4, paper=2, without='copy_error', below=True),
    Column('SP mIoU, frozen', 'sp_frozen', 'mIoU', without='constant'),
    Column('SP mAP, frozen', 'sp_frozen', 'mAP'),
    Column('S3R error, frozen', 's3r_frozen', 'error', 4, without='copy_error', below=True),
)
#: As in the paper's Figure 3: above with the whole model trained, below with the encoder frozen.
PANELS = (
    (('SP mIoU', 'VR, sounds'), ('SP mIoU', 'S3R error'), ('VR, sounds', 'S3R error')),
    (('SP mAP, frozen', 'VR, videos'), ('SP mAP, frozen', 'S3R error, frozen'),
     ('VR, videos', 'S3R error, frozen')),
)

SINGLE: Dict[str, Row] = dict(
    random=Row('Random init', backbone='b'),
    supervised=Row('Supervised', 'supervised', paper=(26.82, None, .2085)),
    a=Row('A', 'a', paper=(15.32, 9.13, .2105)),
    b=Row('B', 'b', paper=(24.33, 27.35, .2501)),
    c=Row('C', 'c', paper=(16.85, 20.44, .2931)),
)
#: Weights that others have trained: never by default.
GIVEN: Dict[str, Row] = dict(
    audioset=Row('Supervised, AudioSet', backbone='yamnet', paper=SINGLE['supervised'].paper))
#: Name in configs, name in the paper, whether it is made of finished encoders.
METHODS = (('euclidean-dist', 'Euclidean dist', True),
           ('contrastive-dist', 'Contrastive dist', True),
           ('progressive', 'ProgressNet', False), ('concat', 'Concatenate', True),
           ('mtl', 'Multi-task', False), ('il', 'IL', False))
#: The paper's numbers: SP mIoU, VR top-1, S3R error.
PAPER: Dict[str, Dict[str, Tuple[float, ...]]] = dict(
    b_c={'euclidean-dist': (25.38, 27.64, .2607), 'contrastive-dist': (25.59, 27.96, .2589),
         'progressive': (30.38, 29.06, .2397), 'concat': (26.37, 28.31, .2495),
         'mtl': (27.28, 28.94, .2411), 'il': (32.76, 29.72, .2378)},
    b_c_a={'euclidean-dist': (25.82, 27.45, .2188), 'contrastive-dist': (27.39, 27.95, .2145),
           'progressive': (32.45, 29.68, .2035), 'concat': (30.14, 28.09, .2101),
           'mtl': (31.21, 29.52, .2066), 'il': (34.05, 30.32, .1988)},
    b_a={'concat': (29.55, 24.47, .2165), 'mtl': (29.23, 25.10, .2073),
         'il': (31.89, 25.65, .2029)},
    c_a={'concat': (23.57, 19.03, .2347), 'mtl': (24.73, 20.22, .2308),
         'il': (25.02, 21.00, .2251)},
)


def _combined(*combinations: str) -> Dict[str, Row]:
    rows = {}
    for combination in combinations:
        parts = tuple(combination.split('_'))
        for method, name, needs in METHODS:
            key = f'{method}_{combination}'
            rows[key] = Row(f'{name} ({"+".join(parts).upper()})',
                            None if method == 'concat' else key, parts=parts if needs else (),
                            backbone=key, paper=PAPER[combination].get(method, ()))
    return rows


ROWS: Dict[str, Row] = {**SINGLE, **GIVEN, **_combined(*PAPER)}


def _table(name: str, title: str, rows: Dict[str, Row], default: Tuple[str, ...] = ()
           ) -> PaperTable:
    return PaperTable(
        name, f'{title}; OmniAudio format, %, S3R as a share of the variance', rows, COLUMNS,
        PANELS, 'What one sound encoder is worth: right and up is better', default,
        caption=f'{GUESSING}: the best constant map, chance, the input pair copied')


TABLE2A = _table('table2a', 'Table 2a: single tasks', {**SINGLE, **GIVEN}, tuple(SINGLE))
_TABLE2B = _combined('b_c', 'b_c_a')
TABLE2B = _table('table2b', 'Table 2b: ways of combining them', {**_TABLE2B, **GIVEN},
                 tuple(_TABLE2B))
# Rows of the other methods for these combinations are there, too, but not by default.
_TABLE3 = _combined('b_a', 'c_a', 'b_c', 'b_c_a')
TABLE3 = _table('table3', 'Table 3: combinations of tasks', _TABLE3, default=tuple(
    key for key in _TABLE3 if key.partition('_')[0] in ('concat', 'mtl', 'il')))


class SoundRun(TableRun):
    """Pretrains and evaluates sound encoders; arguments of :class:`TableRun`."""

    configs = 'configs/sound'
    #: What is evaluated on instead of the scenes that the configs of downstream tasks name.
    scenes: Optional[str] = None

    def evaluate(self, key: str, runs: Sequence[str] = DOWNSTREAM) -> None:
        """Evaluates one row by downstream tasks, with the whole model trained and frozen."""
        for task in runs:
            # Retrieval is always of a frozen encoder, and concatenated ones are frozen in any case.
            twice = task != 'vr' and not key.startswith('concat')
            for frozen in (False, True) if twice else (False, ):
                self.downstream(key, task, frozen)

    def downstream(self, key: str, task: str, frozen: bool) -> None:
        """Evaluates one row by one downstream task."""
        checkpoint, title = self.checkpoint(key), f'{self.rows[key].title}, seed {self.seed}'
        config = f'configs/benchmarks/sound/{"" if self.full else "demo/"}{task}.py'
        self.train_downstream(
            f'{title}: {task.upper()}' + ', frozen encoder' * frozen, key,
            f'{task}{"_frozen" * frozen}', project_file(config),
            [f'pretrained.config={self.config(key)}',
             f'pretrained.checkpoint={checkpoint or "random"}',
             *['model.frozen=True'] * frozen,
             *(f'{part}_dataloader.dataset.dataset.data_root={self.scenes}'
               for part in ('train', 'val', 'test') if self.scenes)], f'{task}/')
