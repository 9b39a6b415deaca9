"""Multi-task M+D (section 4.2): ResNet-50, ImageNet-1k, 200 epochs (Table 4).

    tools/dist_train.sh configs/mtl_mocov2_densecl.py 8

The paper reports VOC07 85.82, COCO box AP 41.01, mask AP 36.41. One pass of the backbone serves
both tasks. Equal weights are this project's choice: the paper gives none.
"""
_base_ = '_base_/mtl.py'

model = dict(
    tasks=[_base_.mocov2, _base_.densecl], loss_weights=dict(mocov2=1., densecl=1.))
