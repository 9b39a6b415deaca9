"""What makes incremental learning of sound win or lose: one thing changed at a time.

Not in the paper. As the study of pictures (:mod:`.study`): every row has as many steps as
B -> C -> A as a whole, where nothing else is said; B is trained once, and every way of keeping it
goes on from there. Encoders are compared frozen, where they differ most at this size, on scenes of
their own.
"""
from typing import Dict

from .results import PaperTable
from .row import Row
from .sound import COLUMNS, SoundRun
from .study import TEACHER, distill_weights

SOUND_STUDY_RUNS = 'sp', 's3r'
_IL, _MTL = 'il_b_c_a', 'mtl_b_c_a'
_LATER = 'train_cfg.stages=[0,10,12]'  # epochs of the stages behind the first
_ORDERS = 'b_a_c', 'c_b_a', 'c_a_b', 'a_b_c', 'a_c_b'


def _kept(title: str, *options: str) -> Row:
    """Stages 2 and 3 from the same B."""
    return Row(f'B -> C -> A, {title}', _IL, start='b', options=(
        _LATER, *TEACHER, *options))


SOUND_ROWS: Dict[str, Row] = {
    'random': Row('Random init', backbone=_IL),
    'b': Row('B, its 16 of 38 epochs', backbone=_IL, within=(_IL, 'stage1_b.pth')),
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
    'responses_ema': _kept('responses, moving teacher', 'model.responses.momentum=0.99'),
    'feature': _kept('features', 'model.distill.type=multissl_mm.FeatureDistillation'),
    'predictive': _kept('features through a predictor',
                        'model.distill.type=multissl_mm.PredictiveDistillation',
                        'model.distill.in_channels=256', 'model.distill.hid_channels=512'),
    # Old tasks rehearsed with their own losses.
    'rehearsed': Row('B -> B + C -> B + C + A (rehearsal)', 'rehearsal_b_c_a', start='b', options=(
        _LATER, )),
    # Other orders, lengths and rates.
    **{f'il_{order}': Row(f'{" -> ".join(order.upper().split("_"))}, responses', f'il_{order}',
                          options=TEACHER) for order in _ORDERS},
    'even': Row('B -> C -> A, responses, stages of 13, 13 and 12', _IL, options=(
        *TEACHER, 'train_cfg.stages=[13,13,12]')),
    'gentle': _kept('responses, half the rate', 'optim_wrapper.optimizer.lr=0.0015'),
}
SOUND_STUDY = PaperTable(
    'study_sound', 'Ways of keeping B and C; %, S3R as a share of the variance, frozen encoders, '
    'on scenes for validation', SOUND_ROWS,
    [column for column in COLUMNS if column.run.endswith('_frozen')],
    [[('SP mAP, frozen', 'S3R error, frozen')]],
    'What one sound encoder is worth: right and up is better')


class SoundStudyRun(SoundRun):
    """Pretrains as the demo does, evaluated on scenes for validation."""

    scenes = 'data/validation/omniaudio_32x128/'
    frozen = (True, )
