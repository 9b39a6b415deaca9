"""What makes incremental learning of pictures win or lose: one thing changed at a time.

Not in the paper. All rows see the same pictures, and where its title says nothing else a row has as
many steps as IL as a whole: stage 1 (M) is trained once, and every way of keeping M goes on from
there.
Settings are compared on street scenes of their own, which no other number of this project is
measured on; the chosen ones then stand in Table 4.
"""
from typing import Dict, List

from .pictures import COLUMNS, SEGMENTATION, SVM, TABLE4, PictureRun
from .results import PaperTable
from .row import TEACHER, Row

STUDY_RUNS = SVM, SEGMENTATION
_SHORT, _LONG = 12, 24  # epochs of a stage, and of all of IL
_SECOND = f'train_cfg.stages=[0,{_SHORT}]'
_DENSE_PART = 'model.tasks.1.loss_lambda=1.'
_INFO_NCE = 'model.tasks.0.head.distill=info_nce'


def distill_weights(kind: str, *options: str) -> List[str]:
    """For ``--cfg-options``: weights that are more than a number."""
    return ['model.distill_weights._delete_=True',
            f'model.distill_weights.type=multissl_mm.{kind}',
            *(f'model.distill_weights.{option}' for option in options)]


def _kept(title: str, *options: str) -> Row:
    """Stage 2 from the same M."""
    return Row(title, 'il_mocov2_densecl', start='mocov2', options=(
        _SECOND, *TEACHER, *options))


ROWS: Dict[str, Row] = {
    'random': Row('Random init', backbone='il_mocov2_densecl'),
    'mocov2': Row('M, half as long', backbone='il_mocov2_densecl',
                  within=('il_mocov2_densecl', 'stage1_mocov2.pth')),
    'densecl': Row('D, half as long', backbone='il_densecl_mocov2',
                   within=('d_m_kl', 'stage1_densecl.pth')),
    # Controls: as many steps as IL as a whole.
    **{key: TABLE4.rows[key] for key in ('mocov2_long', 'densecl_long', 'mtl_long')},
    # M -> D, by how M is kept.
    'il_mocov2_densecl': Row('M -> D, KL (stored, 2 replicas)', 'il_mocov2_densecl'),
    'nothing': _kept('M -> D, nothing kept', 'model.distill_weights=0.'),
    'kl': _kept('M -> D, KL', 'model.distill_weights=1.'),
    'kl_5': _kept('M -> D, KL x 5', 'model.distill_weights=5.'),
    'kl_25': _kept('M -> D, KL x 25', 'model.distill_weights=25.'),
    'infonce_quarter': _kept('M -> D, InfoNCE x 0.25', _INFO_NCE, 'model.distill_weights=0.25'),
    'infonce': _kept('M -> D, InfoNCE', _INFO_NCE, 'model.distill_weights=1.'),
    'infonce_other': _kept('M -> D, InfoNCE to the other view', _INFO_NCE,
                           'model.distill.type=multissl_mm.ResponseDistillation',
                           'model.distill.view=other', 'model.distill_weights=1.'),
    'infonce_falling': _kept('M -> D, InfoNCE falling to 0', _INFO_NCE,
                             *distill_weights('FallingWeights', 'start=1.')),
    'infonce_ratio': _kept('M -> D, InfoNCE at a gradient of 0.3', _INFO_NCE,
                           *distill_weights('RatioWeights', 'ratio=0.3')),
    'feature': _kept('M -> D, features', 'model.distill.type=multissl_mm.FeatureDistillation'),
    'predictive': _kept('M -> D, features through a predictor',
                        'model.distill.type=multissl_mm.PredictiveDistillation',
                        'model.distill.in_channels=128', 'model.distill.hid_channels=512'),
    'cassle': _kept('M -> D, CaSSLe', 'model.distill.type=multissl_mm.CaSSLe',
                    'model.distill.feat_dim=128', 'model.distill.hid_channels=512'),
    # A teacher that goes on moving.
    'kl_ema': _kept('M -> D, KL, moving teacher', 'model.responses.momentum=0.99',
                    'model.distill_weights=1.'),
    'infonce_ema': _kept('M -> D, InfoNCE, moving teacher', _INFO_NCE,
                         'model.responses.momentum=0.99', 'model.distill_weights=1.'),
    # M rehearsed with its own loss.
    'rehearsed': Row('M -> M + D (rehearsal)', 'rehearsal_mocov2_densecl', start='mocov2', options=(
        _SECOND, 'model.tasks.1.loss_lambda=0.5')),
    # Only the dense part of D, since M is there for the whole picture.
    'dense_infonce': _kept('M -> dense part of D, InfoNCE', _INFO_NCE, _DENSE_PART,
                           'model.distill_weights=1.'),
    'dense_rehearsed': Row('M -> M + dense part of D (rehearsal)', 'rehearsal_mocov2_densecl',
                           start='mocov2', options=(_SECOND, )),
    'dense_mtl_long': Row('M + dense part of D, as long as IL', 'mtl_mocov2_densecl',
                          as_long_as='il_mocov2_densecl', options=(_DENSE_PART, )),
    # The other order.
    'd_m_kl': Row('D -> M, KL', 'il_densecl_mocov2', options=(
        *TEACHER, 'model.distill_weights=1.')),
    **{f'd_m_{key}': Row(f'D -> M, {title}', 'il_densecl_mocov2', start='densecl', options=(
        _SECOND, *TEACHER, *options)) for key, title, options in (
            ('nothing', 'nothing kept', ('model.distill_weights=0.', )),
            ('infonce', 'InfoNCE', (_INFO_NCE, 'model.distill_weights=1.')))},
    'd_rehearsed': Row('D, then both at once', 'mtl_mocov2_densecl', start='densecl'),
    # Lengths of stages, and the rate at the restart.
    'short_m': TABLE4.rows['il_short_mocov2_densecl']._replace(title='M -> D, KL, stages 1 : 3'),
    'short_m_nothing': TABLE4.rows['nothing_short_mocov2_densecl']._replace(
        title='M -> D, nothing kept, stages 1 : 3'),
    'long_m': Row('M -> D, KL, stages 3 : 1', 'il_mocov2_densecl', options=(
        *TEACHER, 'model.distill_weights=1.'), shares=(3, 1)),
    'gentle': _kept('M -> D, KL, half the rate, long warm-up', 'model.distill_weights=1.',
                    'optim_wrapper.optimizer.lr=0.06', 'param_scheduler.0.warmup=0.3'),
    'one_cosine': Row('M -> D, KL, no restart of the rate', 'il_mocov2_densecl', options=(
        *TEACHER, 'model.distill_weights=1.', f'param_scheduler.0.periods=[{_LONG}]')),
    # The mean of what both stages came to, and all experts distilled into one.
    **{f'averaged_{key}': Row(f'{title}, averaged with M', parts=('mocov2', key), average=True,
                              backbone='il_mocov2_densecl')
       for key, title in (('nothing', 'M -> D, nothing kept'), ('rehearsed', 'M -> M + D'))},
    'experts_distilled': TABLE4.rows['contrastive-dist_mocov2_densecl']._replace(
        title='M and D distilled into one, 36 epochs with theirs'),
}
STUDY = PaperTable(
    'study', 'Ways of keeping M (%), on scenes for validation', ROWS,
    [column for column in COLUMNS if column.run in STUDY_RUNS],
    [[('SVM mAP', 'linear seg. AP')]], 'What one backbone is worth')


class StudyRun(PictureRun):
    """Pretrains as the demo does, evaluated on scenes for validation."""

    scenes = 'data/validation'
