"""Concatenation M+D (section 4.1): two finished encoders side by side, nothing to train (Table 4).

    python tools/model_converters/concat_backbones.py configs/concat_mocov2_densecl.py concat.pth \
        MOCOV2.pth DENSECL.pth
    python tools/benchmarks/voc07_svm.py configs/concat_mocov2_densecl.py concat.pth
    tools/dist_train.sh configs/benchmarks/coco/mask-rcnn_concat-r50_fpn_ms-1x_coco.py 8 \
        --cfg-options model.backbone.init_cfg.checkpoint=concat.pth

The paper reports VOC07 85.54, COCO box AP 40.67, mask AP 36.61.
"""
_base_ = ['_base_/resnet50_m_d.py', '_base_/runtime.py']

model = dict(
    backbone=dict(type='multissl_mm.ConcatBackbone', encoders=[_base_.backbone] * 2))
