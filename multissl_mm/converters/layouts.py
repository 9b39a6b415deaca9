"""Layouts in which other code bases write MoCo v2 and DenseCL."""
import re
from typing import Dict, List, Mapping, Optional, Tuple

from torch import Tensor

from ..errors import MultiSSLError
from ..utils.checkpoint import some

StateDict = Dict[str, Tensor]
#: Key of the file (a pattern) -> part and key in it; None: not used.
Rule = Tuple[str, Optional[Tuple[str, str]]]

# The first rule that matches a key counts.
_OPENMMLAB: List[Rule] = [
    (r'backbone\.(.+)', ('backbone', r'\1')),
    (r'neck\.(.+)', ('neck', r'\1')),
    (r'encoder_k\.steps', None),
    (r'encoder_k\.(?:module\.)?0\.(.+)', ('momentum_backbone', r'\1')),
    (r'encoder_k\.(?:module\.)?1\.(.+)', ('momentum_neck', r'\1')),
]
_QUEUES: List[Rule] = [
    (r'queue', ('queue', 'global.keys')),
    (r'queue_ptr', ('queue', 'global.ptr')),
    (r'queue2', ('queue', 'dense.keys')),
    (r'queue2_ptr', ('queue', 'dense.ptr')),
]
LAYOUTS: Dict[str, List[Rule]] = {
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
