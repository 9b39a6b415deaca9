"""Progressive columns M -> D (section 4.4): a ResNet-50 per task, 200 epochs each.

    tools/dist_train.sh configs/progressive_mocov2_densecl.py 8
    python tools/benchmarks/voc07_svm.py configs/progressive_mocov2_densecl.py CHECKPOINT
    tools/dist_train.sh configs/benchmarks/coco/mask-rcnn_progressive-r50_fpn_ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT

The paper reports this for sound only. Column 1 learns MoCo v2; then it is frozen, and column 2
learns DenseCL with laterals from it (Rusu et al. 2016). Downstream the backbone is column 2 with
its laterals.
"""
_base_ = ['_base_/imagenet_two_views.py', '_base_/resnet50_m_d.py', '_base_/stages_200e.py',
          '_base_/algorithms/progressive.py']

model = dict(
    backbone=dict(columns=[_base_.backbone] * 2),
    momentum=_base_.momentum,
    tasks=[_base_.mocov2, _base_.densecl])  # in the order of the stages
