"""Checkpoints of others into ours and ours into theirs; data sets into what is trained on."""
from .average import average_backbones
from .backbones import (
    concat_backbones,
    export_backbone,
    infer_resnet,
    verify_backbone,
)
from .layouts import LAYOUTS
from .stage1 import convert_to_stage1, fill_first_task

__all__ = ['LAYOUTS', 'average_backbones', 'concat_backbones', 'convert_to_stage1',
           'export_backbone', 'fill_first_task', 'infer_resnet', 'verify_backbone']
