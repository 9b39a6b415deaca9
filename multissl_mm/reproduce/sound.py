"""Tables 2a, 2b and 3 of the paper: what sound encoders are worth, by SP, VR and S3R."""
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ..utils.project import project_file
from .plan import Plan, Step
from .results import GUESSING, Column, PaperTable
from .row import Encoder, Row
from .rows import TableRun
from .store import short_path

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
    # Of labels of the same scenes: the paper's are AudioSet's.
    supervised=Row('Supervised', 'supervised'),
    a=Row('A', 'a', paper=(15.32, 9.13, .2105)),
    b=Row('B', 'b', within=('il_b_c', 'stage1_b.pth'), paper=(24.33, 27.35, .2501)),
    c=Row('C', 'c', within=('il_c_a', 'stage1_c.pth'), paper=(16.85, 20.44, .2931)),
)
#: Where docs/evidence.md puts weights that others have trained: in tables once they are there.
GIVEN_AT = dict(audioset='data/evidence/yamnet.pth')
#: Their rows.
GIVEN: Dict[str, Row] = dict(
    audioset=Row('Supervised, AudioSet', backbone='yamnet', paper=(26.82, None, .2085)))
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


def controls(*combinations: str) -> Dict[str, Row]:
    """What the paper's methods have to be better than, and the paper has not.

    Every task, and all at once, for as many epochs as IL as a whole: what combinations have in
    common is trained once. And encoders of the task that is best at most in the paper, as many,
    with seeds that no other row has.
    """
    rows: Dict[str, Row] = {}
    for combination in combinations:
        parts = combination.split('_')
        whole = f'il_{combination}'
        name = '+'.join(parts).upper()
        one, count = 'b' if 'b' in parts else 'c', len(parts)
        for part in parts:
            rows[f'{part}_long_{combination}'] = Row(
                f'{part.upper()}, as long as IL ({name})', part, as_long_as=whole)
        rows[f'mtl_long_{combination}'] = Row(f'Multi-task ({name}), as long as IL',
                                              f'mtl_{combination}', as_long_as=whole)
        key = '_'.join(['concat', *[one] * count])
        rows[key] = Row(f'Concatenate ({"+".join([one.upper()] * count)}, {count} seeds)',
                        parts=(one, ) * count, part_seeds=(0, 100, 200)[:count],
                        backbone='concat_b_c_a' if count == 3 else 'concat_b_c')
    return rows


ROWS: Dict[str, Row] = {**SINGLE, **GIVEN, **_combined(*PAPER), **controls(*PAPER)}


def _table(name: str, title: str, rows: Sequence[str], default: Sequence[str] = ()) -> PaperTable:
    return PaperTable(
        name, f'{title}; OmniAudio format, %, S3R as a share of the variance',
        {key: ROWS[key] for key in rows}, COLUMNS, PANELS,
        'What one sound encoder is worth: right and up is better', tuple(default),
        caption=f'{GUESSING}: the best constant map, chance, the input pair copied. Concatenated '
        'encoders are frozen in every column, as in the paper')


_CONTROLS = [*controls('b_c_a'), 'contrastive-dist_b_c_a']
TABLE2A = _table('table2a', 'Table 2a: single tasks', [*SINGLE, *GIVEN, *_CONTROLS],
                 [*SINGLE, *_CONTROLS])
_TABLE2B = ['random', *_combined('b_c', 'b_c_a'), *controls('b_c', 'b_c_a')]
TABLE2B = _table('table2b', 'Table 2b: ways of combining them', [*_TABLE2B, *GIVEN], _TABLE2B)
# Rows of the other methods for these combinations are there, too, but not by default.
_TABLE3 = _combined('b_a', 'c_a', 'b_c', 'b_c_a')
_SHOWN = [key for key in _TABLE3 if key.partition('_')[0] in (
    'concat', 'mtl', 'il') or key == 'contrastive-dist_b_c_a']
TABLE3 = _table('table3', 'Table 3: combinations of tasks', ['random', *_TABLE3, *controls(*PAPER)],
                ['random', *_SHOWN, *controls(*PAPER)])
FIGURE3 = _table('figure3', 'Figure 3: single tasks and IL', [
    'random', 'a', 'b', 'c', *(f'il_{combination}' for combination in PAPER), *_CONTROLS])
AFFINITY_SOUND = _table('affinity_sound', 'Tasks of sound and what they are good for', [
    'random', 'a', 'b', 'c', *(f'{method}_{combination}' for method in ('mtl', 'il')
                               for combination in PAPER), *_CONTROLS])


class SoundRun(TableRun):
    """Pretrains and evaluates sound encoders; arguments of :class:`TableRun`."""

    configs = 'configs/sound'
    #: Encoders are evaluated with the whole model trained, and frozen.
    frozen: Sequence[bool] = (False, True)

    @property
    def scenes(self) -> Optional[str]:
        """What is evaluated on instead of the scenes that the configs of downstream tasks name."""
        return None

    def _data(self, *splits: str) -> List[str]:
        """Options for the data of the scale, below a dataset of OmniAudio."""
        if self.scale.full or self.scale.name == 'demo':
            return []  # by the configs
        train, _, test = self.scale.scenes
        spans = dict(train=f'[1,{train}]', val=f'[{train + 1},{train + test}]')
        return [f'data_root={self.scale.data.as_posix()}/omniaudio_32x128/',
                *(f'splits.{split}={spans["train" if split == "train" else "val"]}'
                  for split in splits)]

    def data_options(self) -> List[str]:
        """Options of a pretraining for the data and batches of the scale."""
        batch = [f'train_dataloader.batch_size={self.scale.sounds}'] if self.scale.sounds else []
        return [*batch, *(f'train_dataloader.dataset.dataset.{option}'
                          for option in self._data('train', 'val', 'test'))]

    def heldout(self) -> List[str]:
        """Scenes that nothing is trained on."""
        root = 'data/omniaudio/' if self.scale.full else \
            f'{self.scale.data.as_posix()}/omniaudio_32x128/'
        train, _, test = self.scale.scenes
        splits = [] if self.scale.full else [f'dataset.splits.val=[{train + 1},{train + test}]']
        return ['dataset.type=multissl_mm.OmniAudioDataset', f'dataset.data_root={root}',
                'dataset.split=val', *splits]

    def add_evaluations(self, plan: Plan, key: str, encoder: Encoder,
                        runs: Sequence[str] = DOWNSTREAM) -> None:
        """Evaluates one row by downstream tasks, with the whole model trained and frozen."""
        for _, run, step in self.models(key, encoder, runs):
            self.want(plan, key, run, encoder, step)

    def models(self, key: str, encoder: Encoder, runs: Sequence[str]
               ) -> Iterator[Tuple[str, str, Step]]:
        """Trainings of downstream models on one row: task, evaluation, step."""
        title = f'{self.rows[key].title}, seed {self.seed}'
        for task in runs:
            config = project_file('configs/benchmarks/sound/'
                                  f'{"" if self.scale.full else "demo/"}{task}.py')
            # Retrieval is always of a frozen encoder, and concatenated ones are frozen in any case.
            twice = task != 'vr' and not self.rows[key].frozen
            for frozen in self.frozen if twice else (False, ):
                run = f'{task}{"_frozen" * frozen}'
                yield task, run, self.downstream(
                    key, run, encoder, f'{title}: {task.upper()}' + ', frozen encoder' * frozen,
                    config, [*self._evaluated_on(task), *['model.frozen=True'] * frozen],
                    [f'pretrained.config={encoder.config}',
                     f'pretrained.checkpoint={short_path(encoder.checkpoint) or "random"}'],
                    f'{task}/')

    def _evaluated_on(self, task: str) -> List[str]:
        options = [f'{split}_dataloader.dataset.dataset.{option}' for split in ('train', 'val')
                   for option in self._data('train', 'val', 'test')]
        options += [f'{split}_dataloader.dataset.dataset.data_root={self.scenes}'
                    for split in ('train', 'val', 'test') if self.scenes]
        labelled = f'train_dataloader.dataset.dataset.splits.train=[1,{self.scale.scenes[1]}]'
        batch = [f'{split}_dataloader.batch_size={self.scale.sounds}'
                 for split in ('train', 'val') if self.scale.sounds]
        return [*options, *([labelled] if self._data() and task == 'sp' else []), *batch]
