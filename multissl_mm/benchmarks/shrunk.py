"""The models of the shipped configs as they are or made small, with batches from memory."""
from copy import deepcopy
from typing import Any, Dict, Iterator, List, NamedTuple

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from torch.utils.data._utils.pin_memory import pin_memory

from ..runtime import load_config
from ..utils.project import project_file
from ..utils.views import CroppedView, ViewParams

LAYERS = {'in_channels', 'hid_channels', 'out_channels', 'feat_dim', 'queue_len', 'num_prototypes'}
NARROWEST = 32


class Scale(NamedTuple):
    """How large models and batches are.

    Args:
        shrink (int): What widths of layers and queues are divided by: 1 leaves a model as it is; 4
            fits a ResNet-18; more, narrower ones. Sound is made small by its demo's configs.
        size (int): Pixels of a view.
        batch_size (int): A multiple of 4.
    """
    shrink: int = 1
    size: int = 224
    batch_size: int = 64


def shrunk(node: Any, by: int) -> Any:
    """A config's model with a ResNet-18 in the place of a ResNet-50, and narrower heads."""
    if by == 1:
        return node
    if isinstance(node, (list, tuple)):
        return [shrunk(child, by) for child in node]
    if not isinstance(node, dict):
        return node
    if str(node.get('type')).endswith('.ResNet'):
        return dict(node, depth=18, base_channels=64 * 4 // by)
    return {key: max(NARROWEST, value // by) if key in LAYERS and isinstance(value, int) else
            shrunk(value, by) for key, value in node.items()}


def picture_config(name: str, scale: Scale) -> Config:
    """A pretraining config of pictures by its file in ``configs/``, in this size."""
    cfg = load_config(project_file(f'configs/{name}.py'))
    cfg.model = shrunk(cfg.model.to_dict(), scale.shrink)
    if isinstance(cfg.model.get('momentum'), (list, tuple)):
        cfg.model.momentum = cfg.model.momentum[0]  # the other one is of a run's end
    return cfg


def sound_config(name: str, scale: Scale) -> Config:
    """A pretraining config of sound by its file in ``configs/sound/``, or its demo's."""
    cfg = load_config(project_file(f'configs/sound/{"demo/" * (scale.shrink > 1)}{name}.py'))
    for task in cfg.model.tasks:
        task.pop('dropout', None)  # a GPU draws otherwise than a CPU
    return cfg


def task_configs(scale: Scale) -> Iterator[Config]:
    """One config for each of the pretext tasks, named ``title``; alone on its backbone."""
    cfg = picture_config('mocov2', scale)
    files = [load_config(project_file(f'configs/_base_/{name}.py'))
             for name in ('resnet50_m_d', 'mmpretrain_tasks')]
    tasks: List[dict] = [value for file in files for value in file.to_dict().values()
                         if isinstance(value, dict) and 'name' in value]
    for task in tasks:
        apart = task['name'] in ('byol', 'simsiam', 'barlowtwins')
        one = deepcopy(cfg)
        one.model.update(tasks=[shrunk(task, scale.shrink)], separate_views=apart)
        one.title = task['name']
        yield one
    for name in ('a', 'b', 'b_mask', 'c'):
        one = sound_config(name, scale)
        one.title = f'sound {name}'
        yield one


def build(cfg: Config, **options: Any) -> Any:
    """The model on the CPU, from seed 0.

    Args:
        options: Of the model, e.g. ``channels_last``.
    """
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor, **options))
    model.init_weights()
    return revert_sync_batchnorm(model).train()  # of one process; synchronised ones need a GPU


def batch(cfg: Config, scale: Scale, device: str = 'cpu') -> Dict[str, Any]:
    """What a config's loader gives, random; pinned for a GPU."""
    torch.manual_seed(1)
    n = scale.batch_size
    scenes = torch.arange(n) // 4
    samples = [BaseDataElement(metainfo=dict(sample_idx=i, replica=0, seed=0, scene=int(scenes[i])))
               for i in range(n)]
    if cfg.data_preprocessor.type.endswith('SoundPreprocessor'):
        length, height, width = (96000, 64, 256) if scale.shrink == 1 else (32000, 32, 128)
        inputs: Any = dict(
            clip=torch.randn(n, 2, length), other=torch.randn(n, 2, length), gap=torch.rand(n),
            flow=torch.randn(n, 8, 2, height, width), scene=scenes,
            foreground=torch.rand(n, 8, 3, height, width), rotation=torch.randint(8, (n, )))
    else:
        params = torch.tensor([ViewParams(), ViewParams(3., 1.2, .8, 1.1, .1, 1., 1.5, 1.)])
        inputs = [CroppedView(torch.randint(256, (n, 3, scale.size, scale.size), dtype=torch.uint8),
                              params.repeat(n // 2, 1)) for _ in range(2)]
    if device == 'cuda':
        inputs = pin_memory(inputs)
    return dict(inputs=inputs, data_samples=samples)
