"""A pretrained backbone in a detector of mmdet, loaded with no missing key.

    python examples/mmdet_backbone.py [CHECKPOINT]

CHECKPOINT is of any run that pretrains a ResNet, e.g. work_dirs/il_mocov2_densecl/final.pth;
without one a tiny backbone with random weights shows the same.
"""
import sys
import tempfile
from pathlib import Path

import torch
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from multissl_mm.converters import export_backbone, infer_resnet
from multissl_mm.models import MultiTask
from multissl_mm.registry import MODELS
from multissl_mm.utils.checkpoint import backbone_state_dict, load_state_dict_file


def tiny_checkpoint(path: Path) -> Path:
    """What a run would leave: a model with a backbone and a pretext task."""
    init_default_scope('mmpretrain')
    neck = dict(type='MoCoV2Neck', in_channels=64, hid_channels=32, out_channels=16)
    model = MultiTask(
        backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
        tasks=[dict(name='mocov2', type='multissl_mm.MoCoV2Task', neck=neck, feat_dim=16,
                    queue_len=64)])
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def main() -> None:
    MMLogger.get_instance('example', log_level='WARNING')
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = sys.argv[1] if sys.argv[1:] else tiny_checkpoint(Path(folder) / 'run.pth')
        backbone = Path(folder) / 'backbone.pth'
        print(f'exported {len(export_backbone(str(checkpoint), str(backbone)).keys)} keys')

        weights = backbone_state_dict(load_state_dict_file(str(backbone)))
        shape = infer_resnet(weights)  # depth and channels, by the keys
        widths = [shape.base_channels * 2**i * (1 if shape.depth < 50 else 4) for i in range(4)]

        # In a config of mmdet these are the lines of its `model`.
        cfg = get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
        cfg.merge_from_dict(dict(model=dict(
            backbone=dict(**shape._asdict(), init_cfg=dict(
                _delete_=True, type='Pretrained', checkpoint=str(backbone), prefix='backbone.')),
            neck=dict(in_channels=widths))))

        init_default_scope('mmdet')
        detector = MODELS.build(cfg.model)
        detector.init_weights()

    found = detector.backbone.state_dict()
    assert found.keys() == weights.keys(), found.keys() ^ weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in weights)
    print(f'loaded {len(found)} keys into {type(detector).__name__}, none missing')

    with torch.no_grad():
        scores, _ = detector.eval()(torch.rand(1, 3, 64, 64))
    print(f'class scores of {len(scores)} levels, the finest {tuple(scores[0].shape)}')


if __name__ == '__main__':
    main()
