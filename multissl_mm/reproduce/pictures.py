"""Table 4 of the paper: what picture encoders are worth, by VOC07 SVM and by Mask R-CNN.

Linear segmentation is not in the paper: the other end of the trade-off, features of places instead
of pictures, in seconds instead of Mask R-CNN's minutes.
"""
from typing import Dict, List, Sequence

from ..simulation.products import PRODUCTS
from ..utils.digest import digest
from ..utils.project import project_file
from .data import validation_folder
from .plan import Plan, Step
from .results import Column, PaperTable
from .row import TEACHER, Encoder, Row
from .rows import TableRun
from .scales import SCALES
from .store import merged, short_path

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

_ROWS: Dict[str, Row] = {
    'random': Row('Random init', backbone='mocov2'),
    'supervised': Row('Supervised', 'supervised',
                      paper=(84.12, 38.92, 59.55, 42.83, 35.40, 56.60, 38.14)),
    'detco': Row('DetCo', backbone='mocov2',
                 paper=(85.19, 40.21, 61.11, 43.84, 36.36, 58.12, 38.97)),
    'mocov2': Row('MoCo v2 (M)', 'mocov2', within=('il_mocov2_densecl', 'stage1_mocov2.pth'),
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
    # Controls, not in the paper: as many steps as IL as a whole, ...
    'mocov2_long': Row('M, as long as IL', 'mocov2', as_long_as='il_mocov2_densecl'),
    'densecl_long': Row('D, as long as IL', 'densecl', as_long_as='il_mocov2_densecl'),
    'mtl_long': Row('MTL (M+D), as long as IL', 'mtl_mocov2_densecl',
                    as_long_as='il_mocov2_densecl'),
    # ... two encoders of the same task, with two seeds, ...
    'concat_mocov2_mocov2': Row('Concat (M+M, two seeds)', parts=('mocov2', 'mocov2'),
                                part_seeds=(0, 100), backbone='concat_mocov2_densecl',
                                kind='concat-'),
    'concat_densecl_densecl': Row('Concat (D+D, two seeds)', parts=('densecl', 'densecl'),
                                  part_seeds=(0, 100), backbone='concat_mocov2_densecl',
                                  kind='concat-'),
    # ... and all experts distilled into one.
    'contrastive-dist_mocov2_densecl': Row('Contrastive dist (M+D)',
                                           'contrastive-dist_mocov2_densecl',
                                           parts=('mocov2', 'densecl')),
    # Chosen on scenes for validation, see study.py: a first stage of a quarter of all epochs.
    'il_short_mocov2_densecl': Row('IL (M+D), stages 1 : 3', 'il_mocov2_densecl', options=(
        *TEACHER, 'model.distill_weights=1.'), shares=(1, 3)),
    'nothing_short_mocov2_densecl': Row(
        'M, then D, nothing kept, stages 1 : 3', 'il_mocov2_densecl', options=(
            *TEACHER, 'model.distill_weights=0.'), shares=(1, 3)),
    # Not in Table 4: the paper reports these for sound (Table 2b), or not at all.
    'il_densecl_mocov2': Row('IL (D+M)', 'il_densecl_mocov2'),
    'progressive_mocov2_densecl': Row('ProgressNet (M+D)', 'progressive_mocov2_densecl',
                                      kind='progressive-'),
    'euclidean-dist_mocov2_densecl': Row('Euclidean dist (M+D)', 'euclidean-dist_mocov2_densecl',
                                         parts=('mocov2', 'densecl')),
}
_PRODUCTS = f'[{",".join(PRODUCTS)}]'  # as an option
#: Rows that the paper has not: what its methods have to be better than.
CONTROLS = ('mocov2_long', 'densecl_long', 'mtl_long', 'concat_mocov2_mocov2',
            'concat_densecl_densecl', 'contrastive-dist_mocov2_densecl')
#: Classification against segmentation, and against detection as in the paper's Figure 1b.
TABLE4 = PaperTable(
    'table4', 'Table 4 (%)', _ROWS, COLUMNS,
    [[('SVM mAP', 'linear seg. AP'), ('SVM mAP', 'box AP')]],
    'What one backbone is worth',
    default=tuple(key for key, row in _ROWS.items()
                  if key in ('random', *CONTROLS) or row.paper and key != 'detco'),
    caption='Concatenated encoders are frozen in every column, as in the paper')
FIGURE1B = PaperTable(
    'figure1b', 'Figure 1b (%)',
    {key: _ROWS[key] for key in (
        'random', 'mocov2', 'densecl', 'mtl_mocov2_densecl', 'concat_mocov2_densecl',
        'il_mocov2_densecl', *CONTROLS)},
    COLUMNS[:3], TABLE4.panels, 'Classification against segmentation and detection')
AFFINITY_PICTURES = PaperTable(
    'affinity_pictures', 'Tasks of pictures and what they are good for (%)',
    {key: _ROWS[key] for key in ('random', 'mocov2', 'densecl', 'mtl_mocov2_densecl',
                                 'il_mocov2_densecl', 'il_densecl_mocov2', *CONTROLS)},
    [column for column in COLUMNS if column.title in (
        'SVM mAP', 'linear seg. AP', 'box AP', 'mask AP')], TABLE4.panels, TABLE4.figure)


class PictureRun(TableRun):
    """Pretrains and evaluates picture encoders; arguments of :class:`TableRun`."""

    #: What is evaluated on where not the scale's own, in the layouts of VOC2007 and COCO.
    scenes = ''

    @property
    def _scenes(self) -> str:
        if self.scenes and not self.scale.full:
            return validation_folder(self.scale)
        return self.scale.data.as_posix()

    def data_options(self) -> List[str]:
        """Options of a pretraining for the data and batches of the scale."""
        dataset, scale = 'train_dataloader.dataset.dataset', self.scale
        named = scale.full or scale == SCALES['demo']  # by the configs
        return [*([] if named else [f'{dataset}.data_root={scale.data.as_posix()}/imagenet']),
                *([f'train_dataloader.batch_size={scale.batch}'] if scale.batch else [])]

    def row_options(self, row: Row) -> List[str]:
        """With labels, those of the products."""
        if row.pretrain != 'supervised' or not self.scale.products:
            return []
        return [f'model.head.num_classes={len(PRODUCTS)}',
                f'data_preprocessor.num_classes={len(PRODUCTS)}',
                f'train_dataloader.dataset.dataset.metainfo.classes={_PRODUCTS}']

    def heldout(self) -> List[str]:
        """ImageNet's pictures for validation; of streets those of VOC's layout."""
        if self.scale.full:
            return ['dataset.type=multissl_mm.PictureFolder', 'dataset.data_root=data/imagenet/',
                    'dataset.split=val']
        return ['dataset.type=mmpretrain.CustomDataset', 'dataset.with_label=False',
                f'dataset.data_root={self.scale.data.as_posix()}',
                'dataset.data_prefix=VOCdevkit/VOC2007/JPEGImages', 'max_samples=256',
                f'batch_size={self.scale.heldout}']

    def add_evaluations(self, plan: Plan, key: str, encoder: Encoder, runs: Sequence[str]) -> None:
        """VOC07 SVM, linear segmentation and Mask R-CNN of one row, in percent."""
        title = f'{self.rows[key].title}, seed {self.seed}'
        if SVM in runs:
            self._frozen(plan, key, SVM, f'{title}: VOC07 SVM', encoder, 'voc07_svm',
                         'VOCdevkit/VOC2007', 96,
                         # in a quarter of the time
                         *([] if self.scale.full else ['--solver', 'gram']))
        if SEGMENTATION in runs:
            self._frozen(plan, key, SEGMENTATION, f'{title}: linear segmentation', encoder,
                         'linear_segmentation', 'coco', 128)
        if MASK_RCNN in runs:
            self._mask_rcnn(plan, key, f'{title}: Mask R-CNN', encoder)

    def _frozen(self, plan: Plan, key: str, run: str, title: str, encoder: Encoder, tool: str,
                data: str, small: int, *options: str) -> None:
        """An evaluation of frozen features by a tool; of pictures of 224 px at full size."""
        root, size = f'{self._scenes}/{data}', str(224 if self.scale.full else small)
        cfg = merged(encoder.config, ())
        what = self.store.named(
            f'{key}_{run}', self.seed, tool, size, options, self.store.data(root),
            encoder.origin, digest(cfg.get('data_preprocessor')))
        self.want(plan, key, run, encoder, Step(
            title, f'seed{self.seed}_{key}_{run}',
            (project_file(f'tools/benchmarks/{tool}.py'), encoder.config,
             short_path(encoder.checkpoint) or 'random', '--data-root', root, '--image-size', size,
             '--seed', str(self.seed), '--out', short_path(what.json), *options),
            what.json, what, encoder.needs))

    def _mask_rcnn(self, plan: Plan, key: str, title: str, encoder: Encoder) -> None:
        kind = self.rows[key].kind
        config = f'benchmarks/coco/mask-rcnn_{kind}r50_fpn_ms-1x_coco.py' if self.scale.full else \
            f'demo/mask-rcnn_{kind}r18_fpn_coco.py'
        init = f'init_cfg.checkpoint={short_path(encoder.checkpoint)}' if encoder.checkpoint else \
            'init_cfg=None'
        root = f'{self._scenes}/coco/'
        named = self.scale.full or root == 'data/demo/coco/'
        options = [] if named else [
            f'train_dataloader.dataset.data_root={root}',
            f'val_dataloader.dataset.data_root={root}',
            f'val_evaluator.ann_file={root}annotations/instances_val2017.json']
        if self.scale.products:
            options += [
                *(f'model.roi_head.{head}_head.num_classes={len(PRODUCTS)}'
                  for head in ('bbox', 'mask')),
                *(f'{split}_dataloader.dataset.metainfo.classes={_PRODUCTS}'
                  for split in ('train', 'val'))]
        self.want(plan, key, MASK_RCNN, encoder, self.downstream(
            key, MASK_RCNN, encoder, title, project_file(f'configs/{config}'), options,
            [f'model.backbone.{init}'], 'coco/', percent=True))
