"""What makes incremental learning of sound win or lose: one thing changed at a time.

Not in the paper. As the study of pictures (:mod:`.study`): every row has as many steps as
B -> C -> A as a whole, where nothing else is said; B is trained once, and every way of keeping it
goes on from there. Encoders are compared frozen, where they differ most at this size, on scenes of
their own.
"""
from typing import Dict, Optional

from .data import converted, sound_validation
from .results import PaperTable
from .row import TEACHER, Row
from .sound import COLUMNS, ROWS, SoundRun
from .study import distill_weights

SOUND_STUDY_RUNS = 'sp', 'vr', 's3r'
_IL, _MTL = 'il_b_c_a', 'mtl_b_c_a'
_LATER = 'train_cfg.stages=[0,10,12]'  # epochs of the stages behind the first
_ONE_PERIOD = 'param_scheduler.0.periods=[38]'  # epochs of all stages
_ORDERS = 'b_a_c', 'c_b_a', 'c_a_b', 'a_b_c', 'a_c_b'


def _kept(title: str, *options: str) -> Row:
    """Stages 2 and 3 from the same B."""
    return Row(f'B -> C -> A, {title}', _IL, start='b', options=(
        _LATER, *TEACHER, *options))


SOUND_ROWS: Dict[str, Row] = {
    'random': Row('Random init', backbone=_IL),
    'b': Row('B, its 16 of 38 epochs', backbone=_IL, within=(_IL, 'stage1_b.pth')),
    'c': Row('C, as long as that', 'c'),
    'a': Row('A, as long as that', 'a'),
    'mtl': Row('B + C + A at once, as long as that', _MTL),
    # Controls: as many steps as IL as a whole.
    **{f'{task}_long': Row(f'{task.upper()}, as long as IL', task, as_long_as=_IL)
       for task in 'bca'},
    'mtl_long': Row('B + C + A at once, as long as IL', _MTL, as_long_as=_IL),
    # By how old tasks are kept.
    _IL: Row('B -> C -> A, responses (stored, 8 replicas)', _IL),
    'nothing': _kept('nothing kept', 'model.distill_weights=0.'),
    'responses_quarter': _kept('responses x 0.25', 'model.distill_weights=0.25'),
    'responses': _kept('responses', 'model.distill_weights=1.'),
    'responses_5': _kept('responses x 5', 'model.distill_weights=5.'),
    'responses_falling': _kept('responses falling to 0',
                               *distill_weights('FallingWeights', 'start=1.')),
    'responses_ratio': _kept('responses at a gradient of 1',
                             *distill_weights('RatioWeights', 'ratio=1.')),
    'info_nce': _kept('B by its own loss to the response', 'model.tasks.0.distill=info_nce'),
    'responses_ema': _kept('responses, moving teacher', 'model.responses.momentum=0.99'),
    'feature': _kept('features', 'model.distill.type=multissl_mm.FeatureDistillation'),
    'predictive': _kept('features through a predictor',
                        'model.distill.type=multissl_mm.PredictiveDistillation',
                        'model.distill.in_channels=256', 'model.distill.hid_channels=512'),
    # Old tasks rehearsed with their own losses.
    'rehearsed': Row('B -> B + C -> B + C + A (rehearsal)', 'rehearsal_b_c_a', start='b', options=(
        _LATER, )),
    'rehearsed_one_cosine': Row('B -> B + C -> B + C + A, no restart of the rate',
                                'rehearsal_b_c_a', options=(_ONE_PERIOD, )),
    'rehearsed_early': Row('B -> B + C -> B + C + A, stages of 6, 6 and 26, no restart of the rate',
                           'rehearsal_b_c_a', options=(
                               'train_cfg.stages=[6,6,26]', _ONE_PERIOD)),
    # Other orders, lengths and rates.
    **{f'il_{order}': Row(f'{" -> ".join(order.upper().split("_"))}, responses', f'il_{order}',
                          options=TEACHER) for order in _ORDERS},
    'nothing_a_c_b': Row('A -> C -> B, nothing kept', 'il_a_c_b', options=(
        *TEACHER, 'model.distill_weights=0.')),
    'even': Row('B -> C -> A, responses, stages of 13, 13 and 12', _IL, options=(
        *TEACHER, 'train_cfg.stages=[13,13,12]')),
    'short_b': Row('B -> C -> A, responses, stages of 8, 14 and 16', _IL, options=(
        *TEACHER, 'train_cfg.stages=[8,14,16]')),
    'long_b': Row('B -> C -> A, responses, stages of 24, 6 and 8', _IL, options=(
        *TEACHER, 'train_cfg.stages=[24,6,8]')),
    'gentle': _kept('responses, half the rate, long warm-up', 'optim_wrapper.optimizer.lr=0.0015',
                    'param_scheduler.0.warmup=0.3'),
    'one_cosine': Row('B -> C -> A, responses, no restart of the rate', _IL, options=(
        *TEACHER, _ONE_PERIOD)),
    # The mean of the first and of the last stage, and all experts distilled into one.
    'averaged_nothing': Row('B -> C -> A, nothing kept, averaged with B', parts=('b', 'nothing'),
                            average=True, backbone=_IL),
    'experts_distilled': ROWS['contrastive-dist_b_c_a']._replace(
        title='B, C and A distilled into one, 64 epochs with theirs'),
}
SOUND_STUDY = PaperTable(
    'study_sound', 'Ways of keeping B and C; %, S3R as a share of the variance, frozen encoders, '
    'on scenes for validation', SOUND_ROWS,
    [column for column in COLUMNS if column.run.endswith('_frozen') or column.run == 'vr'],
    [[('SP mAP, frozen', 'S3R error, frozen'), ('SP mAP, frozen', 'VR, videos')]],
    'What one sound encoder is worth: right and up is better')


class SoundStudyRun(SoundRun):
    """Pretrains as the demo does, evaluated on scenes for validation."""

    frozen = (True, )

    @property
    def scenes(self) -> Optional[str]:
        return None if self.scale.full else f'{converted(sound_validation(self.scale)).as_posix()}/'
