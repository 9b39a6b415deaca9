"""Table 4 of the paper: what picture encoders are worth, by VOC07 SVM and by Mask R-CNN.

Linear segmentation is not in the paper: the other end of the trade-off, features of places instead
of pictures, in seconds instead of Mask R-CNN's minutes.
"""
from typing import Optional, Sequence

from ..utils.project import project_file
from .results import Column, PaperTable
from .rows import Row, TableRun

SVM, SEGMENTATION, MASK_RCNN = EVALUATIONS = 'svm', 'segmentation', 'mask_rcnn'
COLUMNS = (
    Column('SVM mAP', SVM, 'mAP', paper=0),
    Column('linear seg. AP', SEGMENTATION, 'mAP'),
    Column('box AP', MASK_RCNN, 'bbox_mAP', paper=1),
    Column('AP50', MASK_RCNN, 'bbox_mAP_50', paper=2),
    Column('AP75', MASK_RCNN, 'bbox_mAP_75', paper=3),
    Column('mask AP', MASK_RCNN, 'segm_mAP', paper=4),
    Column('mask AP50', MASK_RCNN, 'segm_mAP_50', paper=5),
    Column('mask AP75', MASK_RCNN, 'segm_mAP_75', paper=6),
)

_ROWS = {
    'random': Row('Random init', backbone='mocov2'),
    'supervised': Row('Supervised', 'supervised',
                      paper=(84.12, 38.92, 59.55, 42.83, 35.40, 56.60, 38.14)),
    'detco': Row('DetCo', backbone='mocov2',
                 paper=(85.19, 40.21, 61.11, 43.84, 36.36, 58.12, 38.97)),
    'mocov2': Row('MoCo v2 (M)', 'mocov2',
                  paper=(84.32, 38.99, 59.78, 42.57, 35.64, 56.62, 38.02)),
    'densecl': Row('DenseCL (D)', 'densecl',
                   paper=(83.11, 40.26, 59.92, 44.35, 36.22, 57.61, 38.78)),
    'mtl_mocov2_densecl': Row('MTL (M+D)', 'mtl_mocov2_densecl',
                              paper=(85.82, 41.01, 60.96, 44.66, 36.41, 57.84, 39.15)),
    'concat_mocov2_densecl': Row('Concat (M+D)', parts=('mocov2', 'densecl'),
                                 backbone='concat_mocov2_densecl', kind='concat-',
                                 paper=(85.54, 40.67, 60.59, 43.98, 36.61, 58.18, 39.20)),
    'il_mocov2_densecl': Row('IL (M+D)', 'il_mocov2_densecl',
                             paper=(86.38, 41.82, 62.02, 45.01, 37.21, 59.10, 39.93)),
    # Not in the paper: as many steps as IL as a whole.
    'mocov2_long': Row('M, as long as IL', 'mocov2', as_long_as='il_mocov2_densecl'),
    'densecl_long': Row('D, as long as IL', 'densecl', as_long_as='il_mocov2_densecl'),
    'mtl_long': Row('MTL (M+D), as long as IL', 'mtl_mocov2_densecl',
                    as_long_as='il_mocov2_densecl'),
    # Not in Table 4: the paper reports these for sound (Table 2b), or not at all.
    'il_densecl_mocov2': Row('IL (D+M)', 'il_densecl_mocov2'),
    'progressive_mocov2_densecl': Row('ProgressNet (M+D)', 'progressive_mocov2_densecl',
                                      kind='progressive-'),
    'euclidean-dist_mocov2_densecl': Row('Euclidean dist (M+D)', 'euclidean-dist_mocov2_densecl',
                                         parts=('mocov2', 'densecl')),
    'contrastive-dist_mocov2_densecl': Row('Contrastive dist (M+D)',
                                           'contrastive-dist_mocov2_densecl',
                                           parts=('mocov2', 'densecl')),
}
#: Classification against segmentation, and against detection as in the paper's Figure 1b.
TABLE4 = PaperTable(
    'table4', 'Table 4 (%)', _ROWS, COLUMNS,
    [[('SVM mAP', 'linear seg. AP'), ('SVM mAP', 'box AP')]],
    'What one backbone is worth',
    default=tuple(key for key, row in _ROWS.items()
                  if key == 'random' or row.as_long_as or row.paper and key != 'detco'))


class PictureRun(TableRun):
    """Pretrains and evaluates picture encoders; arguments of :class:`TableRun`."""

    #: What is evaluated on at demo size, in the layouts of VOC2007 and COCO.
    scenes = 'data/demo'

    def evaluate(self, key: str, runs: Sequence[str] = EVALUATIONS) -> None:
        """VOC07 SVM, linear segmentation and Mask R-CNN of one row, in percent."""
        checkpoint, title = self.checkpoint(key), f'{self.rows[key].title}, seed {self.seed}'
        if SVM in runs:
            self._frozen(key, SVM, f'{title}: VOC07 SVM', checkpoint, 'voc07_svm',
                         'VOCdevkit/VOC2007', 96,
                         *([] if self.full else ['--solver', 'gram']))  # in a quarter of the time
        if SEGMENTATION in runs:
            self._frozen(key, SEGMENTATION, f'{title}: linear segmentation', checkpoint,
                         'linear_segmentation', 'coco', 128)
        if MASK_RCNN in runs:
            self._mask_rcnn(key, f'{title}: Mask R-CNN', checkpoint)

    def _frozen(self, key: str, run: str, title: str, checkpoint: Optional[str], tool: str,
                data: str, demo_size: int, *options: str) -> None:
        """An evaluation of frozen features by a tool; of pictures of 224 px where not demo's."""
        root, size = ('data', 224) if self.full else (self.scenes, demo_size)
        done = self.result(key, run)
        self.steps.run(title, f'seed{self.seed}_{key}_{run}',
                       project_file(f'tools/benchmarks/{tool}.py'), self.config(key),
                       checkpoint or 'random', '--data-root', f'{root}/{data}', '--image-size',
                       str(size), '--seed', str(self.seed), '--out', str(done), *options,
                       done=done)

    def _mask_rcnn(self, key: str, title: str, checkpoint: Optional[str]) -> None:
        kind = self.rows[key].kind
        config = f'benchmarks/coco/mask-rcnn_{kind}r50_fpn_ms-1x_coco.py' if self.full else \
            f'demo/mask-rcnn_{kind}r18_fpn_coco.py'
        init = f'init_cfg.checkpoint={checkpoint}' if checkpoint else 'init_cfg=None'
        self.train_downstream(title, key, MASK_RCNN, project_file(f'configs/{config}'),
                              [f'model.backbone.{init}'], 'coco/', percent=True)
