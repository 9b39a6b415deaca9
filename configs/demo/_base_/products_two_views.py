"""Real products of Fashion-MNIST in ImageNet's layout, two MoCo v2 views of 64 px per picture.

    tools/evidence/fetch.sh products
    python -m multissl_mm.simulation data/products --imagenet 4000 --voc 2000 --coco-train 600 \
        --coco-val 300 --products data/evidence/packages/usr/share/datasets/fashion-mnist
"""
_base_ = 'street_two_views.py'

train_dataloader = dict(dataset=dict(dataset=dict(data_root='data/products/imagenet')))
