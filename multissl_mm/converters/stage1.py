"""Checkpoints of other code bases into ours, and ours into a plain backbone."""
import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from ..errors import MultiSSLError
from ..registry import MODELS
from .checkpoint import Difference, compare, some

StateDict = Dict[str, Tensor]

# Key of the file (a pattern) -> part and key in it. The first that matches counts; None: not used.
_OPENMMLAB = [
    (r'backbone\.(.+)', ('backbone', r'\1')),
    (r'neck\.(.+)', ('neck', r'\1')),
    (r'encoder_k\.steps', None),
    (r'encoder_k\.(?:module\.)?0\.(.+)', ('momentum_backbone', r'\1')),
    (r'encoder_k\.(?:module\.)?1\.(.+)', ('momentum_neck', r'\1')),
]
_QUEUES = [
    (r'queue', ('queue', 'global.keys')),
    (r'queue_ptr', ('queue', 'global.ptr')),
    (r'queue2', ('queue', 'dense.keys')),
    (r'queue2_ptr', ('queue', 'dense.ptr')),
]
LAYOUTS = {
    # github.com/facebookresearch/moco; its two-layer head is `fc`
    'moco': [
        (r'encoder_q\.fc\.(.+)', ('neck', r'mlp.\1')),
        (r'encoder_q\.(.+)', ('backbone', r'\1')),
        (r'encoder_k\.fc\.(.+)', ('momentum_neck', r'mlp.\1')),
        (r'encoder_k\.(.+)', ('momentum_backbone', r'\1')),
        *_QUEUES,
    ],
    # github.com/WXinlong/DenseCL, on OpenSelfSup; `backbone.*` repeats `encoder_q.0.*`
    'densecl': [
        (r'encoder_q\.0\.(.+)', ('backbone', r'\1')),
        (r'encoder_q\.1\.(.+)', ('neck', r'\1')),
        *_OPENMMLAB,
        *_QUEUES,
    ],
    'mmpretrain': [*_OPENMMLAB, *_QUEUES],
    'mmselfsup': [*_OPENMMLAB, *_QUEUES],
}


def guess_layout(state_dict: Mapping[str, Tensor]) -> str:
    """Name of the layout (key of ``LAYOUTS``) that a checkpoint is written in."""
    if any(k.startswith('encoder_q.0.') for k in state_dict):
        return 'densecl'
    if any(k.startswith('encoder_q.') for k in state_dict):
        return 'moco'
    if any(k.startswith('backbone.') for k in state_dict):
        return 'mmpretrain'
    raise MultiSSLError(f'the checkpoint is in none of the layouts {", ".join(LAYOUTS)}; its keys '
                        f'are {some(state_dict)}')


def split_parts(state_dict: Mapping[str, Tensor], layout: str) -> Dict[str, StateDict]:
    """Sorts a checkpoint of another code base into its parts.

    Args:
        state_dict (mapping[str, Tensor]): Without ``module.`` prefixes.
        layout (str): Key of ``LAYOUTS``.

    Returns:
        dict[str, dict[str, Tensor]]: Of ``backbone``, ``neck``, ``momentum_backbone``,
        ``momentum_neck``, ``queue`` those that the file has; keys as in our modules, queues
        (K, C) and their pointers ().

    Raises:
        MultiSSLError: If a key has no place in this layout.
    """
    parts: Dict[str, StateDict] = {}
    strange: List[str] = []
    for key, value in state_dict.items():
        for pattern, target in LAYOUTS[layout]:
            match = re.fullmatch(pattern, key)
            if match:
                if target is not None:
                    parts.setdefault(target[0], {})[match.expand(target[1])] = value
                break
        else:
            strange.append(key)
    if strange:
        raise MultiSSLError(f"keys without a place in the layout '{layout}': {some(strange, 20)}")
    for key, value in parts.get('queue', {}).items():
        # Theirs are (C, K) and (1,).
        parts['queue'][key] = (value.t().contiguous() if key.endswith('.keys') else
                               value.reshape(()).long())
    return parts


def to_stage1(model: nn.Module, parts: Mapping[str, StateDict]) -> Tuple[str, List[str]]:
    """Fills the first task of a model, its backbone and their momentum copies, in place.

    What the file does not have is what it is when a task starts: momentum layers equal to the
    query's, a queue of random directions.

    Args:
        model (MultiSSL): Freshly built.
        parts (mapping): From :func:`split_parts`.

    Returns:
        tuple: Name of the task, and one line per part that says where it came from.

    Raises:
        MultiSSLError: If backbone or neck are missing or any key or shape does not fit.
    """
    name = next(iter(model.tasks))
    task = model.tasks[name]
    modules = {
        'backbone': ('backbone', model.backbone),
        'neck': (f'tasks.{name}.neck', task.neck),
        'momentum_backbone': ('momentum_backbone', model.momentum_backbone.module),
        'momentum_neck': (f'tasks.{name}.momentum_neck', task.momentum_neck.module),
    }
    said: List[str] = []
    for part, (where, module) in modules.items():
        if part == 'momentum_backbone':
            model.start_task(name)  # the query layers are in place; what follows only improves
        if part in parts:
            _fill(module, parts[part], where)
            said.append(f'{where}: from the file')
        elif part.startswith('momentum'):
            said.append(f'{where}: not in the file, a copy of the query encoder')
        else:
            raise MultiSSLError(f'the file has no {part}; stage 1 needs backbone and neck '
                                '(to start from a backbone alone use its init_cfg)')
    found = parts.get('queue', {})
    unknown = {k.partition('.')[0] for k in found} - set(task.queues)
    if unknown:
        raise MultiSSLError(f'the file has queues {sorted(unknown)} that task {name} '
                            f'({type(task).__name__}) has no use for')
    for which, queue in task.queues.items():
        where = f'tasks.{name}.queues.{which}'
        if f'{which}.keys' not in found:
            said.append(f'{where}: not in the file, random directions')
            continue
        keys = found[f'{which}.keys']
        if keys.shape != queue.keys.shape:
            raise MultiSSLError(
                f'{where}: the file has {keys.size(0)} keys of {keys.size(1)} dimensions, the '
                f'config {queue.keys.size(0)} of {queue.keys.size(1)}; set queue_len and feat_dim '
                f'of task {name} accordingly')
        queue.keys.copy_(keys)
        queue.ptr.copy_(found.get(f'{which}.ptr', torch.zeros(())) % len(queue))
        said.append(f'{where}: from the file')
    return name, said


def _fill(module: nn.Module, state_dict: StateDict, where: str) -> None:
    refuse(compare(module.state_dict(), state_dict), where)
    module.load_state_dict(state_dict, strict=False)


def refuse(diff: Difference, where: str) -> None:
    """Raises a :class:`MultiSSLError` with the keys that do not fit, if there are any."""
    if any(diff):
        raise MultiSSLError(f'{where}: keys do not fit; {diff.in_words(20)}')


# ---------------------------------------------------------------------- export

class ResNetShape(NamedTuple):
    """Arguments, by mmpretrain's and mmdet's names, of the ResNet that a state dict is of."""
    depth: int
    in_channels: int
    stem_channels: int
    base_channels: int


_BLOCKS = {  # blocks per layer, with a bottleneck -> depth
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


def infer_resnet(state_dict: Mapping[str, Tensor]) -> Optional[ResNetShape]:
    """What ResNet a backbone's state dict belongs to; None where it is none.

    None for variants with a deep stem, too: mmdet and mmpretrain name its layers differently.
    """
    blocks = tuple(
        len({k.split('.')[1] for k in state_dict if k.startswith(f'layer{i}.')})
        for i in range(1, 5))
    depth = _BLOCKS.get((blocks, 'layer1.0.conv3.weight' in state_dict))
    stem, inner = state_dict.get('conv1.weight'), state_dict.get('layer1.0.conv1.weight')
    if depth is None or stem is None or inner is None:
        return None
    return ResNetShape(depth, stem.size(1), stem.size(0), inner.size(0))


def verify_backbone(state_dict: Mapping[str, Tensor], cfg: dict) -> None:
    """Refuses a state dict that does not fit a backbone's config key by key.

    Args:
        state_dict (mapping[str, Tensor]): Keys as in the backbone itself.
        cfg (dict): Of the backbone, with a ``type``.

    Raises:
        MultiSSLError: Lists the keys.
    """
    cfg = {k: v for k, v in cfg.items() if k not in ('init_cfg', 'pretrained')}
    refuse(compare(MODELS.build(cfg).state_dict(), state_dict), str(cfg['type']))
