"""Reading checkpoints and comparing their keys, for hooks, converters and benchmarks."""
import hashlib
import os.path as osp
import pickle
import re
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Union
from urllib.error import URLError

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..errors import MultiSSLError
from .files import atomic_path

#: What to do with a checkpoint that needs the code of others.
STRIP = ("where that is installed, write its tensors alone: torch.save(dict(state_dict=torch.load("
         "'FILE', weights_only=False)['state_dict']), 'NEW')")


def load_state_dict_file(path: str) -> Dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU, without the prefix of a distributed wrapper.

    Args:
        path (str): See :func:`load_checkpoint_file`.

    Raises:
        MultiSSLError: If it is not there, cannot be read or has no tensors.
    """
    return unwrapped(load_checkpoint_file(path), path)


def load_checkpoint_file(path: str) -> Any:
    """All that is in a checkpoint, its tensors on the CPU.

    Args:
        path (str): A file, or anything else that MMEngine loads (``https://``,
            ``torchvision://resnet50``, ...).

    Raises:
        MultiSSLError: If it is not there or cannot be read.
    """
    check_content(path)
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except (ImportError, AttributeError) as e:  # of a class that is not installed here
        raise MultiSSLError(f'{path}: holds an object of a class that is not here '
                            f'({_first_line(e)}); {STRIP}') from e
    except (OSError, URLError, EOFError, RuntimeError, pickle.UnpicklingError) as e:
        raise MultiSSLError(f'{path}: cannot be read as a checkpoint ({_first_line(e)})') from e


def check_whole(path: str) -> None:
    """Looks whether a file can be a checkpoint, by its two ends; nothing in it is loaded.

    Args:
        path (str): As of :func:`load_checkpoint_file`; what is no file is not looked at.

    Raises:
        MultiSSLError: If it is not there, empty, cut off or something else.
    """
    if '://' in path:
        return
    if not osp.isfile(path):
        raise MultiSSLError(f'{path}: no such checkpoint')
    with open(path, 'rb') as file:
        start = file.read(2)
    if not start:
        raise MultiSSLError(f'{path}: cannot be read as a checkpoint, it is empty; take another '
                            'one')
    # Torch's files are ZIP, with a directory at their end; older ones pickles, or even tar.
    if start == b'PK' and not zipfile.is_zipfile(path):
        raise MultiSSLError(f'{path}: cannot be read as a checkpoint, it was cut off; take '
                            'another one, or copy it again')
    if start != b'PK' and start[:1] != b'\x80' and not tarfile.is_tarfile(path):
        raise MultiSSLError(f'{path}: cannot be read as a checkpoint, it is another kind of file')


def check_content(path: str) -> None:
    """Reads all of a file and compares it with the checksums (CRC-32) that are in it.

    Torch writes them and does not look: a flipped bit would become another weight. Reading takes
    0.3 s for 800 MB.

    Raises:
        MultiSSLError: As :func:`check_whole`, or if one does not fit; names what is damaged.
    """
    check_whole(path)
    if '://' in path or not zipfile.is_zipfile(path):  # older files have none
        return
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, zlib.error) as e:
        damaged = _first_line(e)
    if damaged:
        raise MultiSSLError(f'{path}: cannot be used as a checkpoint, bits of it have changed '
                            f'since it was written ({damaged}); take another one, or copy it again')


def unwrapped(checkpoint: Mapping[str, Any], path: str = 'the checkpoint') -> Dict[str, Tensor]:
    """The tensors of a loaded checkpoint, see :func:`load_state_dict_file`."""
    state_dict = checkpoint
    if isinstance(checkpoint, Mapping):
        state_dict = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    tensors = _flat(state_dict)
    if not tensors:
        raise MultiSSLError(f'{path}: holds no state_dict' + (
            f', but {some(map(str, checkpoint))}' if isinstance(checkpoint, Mapping) and checkpoint
            else ''))
    return tensors


def _flat(state: Any) -> Dict[str, Tensor]:
    """The tensors of a mapping; where it has none, those of the mappings in it, with their keys."""
    if not isinstance(state, Mapping):
        return {}
    tensors = {re.sub(r'^module\.', '', k): v for k, v in state.items() if isinstance(v, Tensor)}
    return tensors or {f'{outer}.{inner}': tensor for outer, nested in state.items()
                       for inner, tensor in _flat(nested).items()}


def backbone_state_dict(state_dict: Mapping[str, Tensor],
                        prefix: str = 'backbone.',
                        path: str = 'the checkpoint') -> Dict[str, Tensor]:
    """The entries under a prefix, without it.

    Args:
        state_dict (mapping[str, Tensor]): From :func:`load_state_dict_file`.
        prefix (str): With or without the dot at its end; empty where the keys have none.
        path (str): What to call the checkpoint in an error.

    Raises:
        MultiSSLError: If there are none; says which prefixes there are.
    """
    prefix = prefix.rstrip('.') + '.' if prefix else ''
    found = {k[len(prefix):]: v for k, v in state_dict.items() if k.startswith(prefix)}
    if not found:
        prefixes = sorted({k.partition('.')[0] + '.' * ('.' in k) for k in state_dict})
        raise MultiSSLError(f"{path}: no key starts with '{prefix}'; its keys start with "
                            f'{some(prefixes)}')
    return found


class Difference(NamedTuple):
    """How the keys of a checkpoint differ from those of a module."""
    missing: List[str]
    unexpected: List[str]
    shapes: List[str]

    @property
    def lacks(self) -> List[str]:
        """Everything of the module that the checkpoint cannot fill."""
        return self.missing + self.shapes

    def in_words(self, limit: int = 5) -> str:
        """All kinds of keys that there are, each with the first few of them."""
        return '; '.join(f'{kind}: {some(keys, limit)}' for kind, keys in zip(
            ('missing', 'unexpected', 'of another shape'), self) if keys)


def compare(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Difference:
    """Compares keys and shapes.

    ``num_batches_tracked`` is never missing: it only counts, and old checkpoints have none.

    Args:
        expected (mapping[str, Tensor]): ``state_dict`` of a module.
        found (mapping[str, Tensor]): What is to be loaded into it.
    """
    missing = [k for k in expected if k not in found and not k.endswith('num_batches_tracked')]
    unexpected = [k for k in found if k not in expected]
    shapes = [f'{k} {tuple(found[k].shape)} instead of {tuple(expected[k].shape)}'
              for k in expected if k in found and found[k].shape != expected[k].shape]
    return Difference(missing, unexpected, shapes)


def fill(module: nn.Module, state_dict: Mapping[str, Tensor], refusal: str,
         advice: str = '') -> None:
    """Loads a state dict into a module, every entry of either, or complains.

    Args:
        module (nn.Module): May convert keys of older checkpoints, as torch's hooks let it.
        state_dict (mapping[str, Tensor]): Its keys as in the module.
        refusal (str): How the error begins: what does not fit what.
        advice (str): How it ends: what to do.

    Raises:
        MultiSSLError: Names the keys that are missing, unexpected or of another shape. The module
            is not to be used then.
    """
    shapes = compare(module.state_dict(), state_dict).shapes  # torch would raise at once
    odd = {name.partition(' ')[0] for name in shapes}
    result = module.load_state_dict(
        {k: v for k, v in state_dict.items() if k not in odd}, strict=False)
    missing = [k for k in result.missing_keys
               if k not in odd and not k.endswith('num_batches_tracked')]
    difference = Difference(missing, list(result.unexpected_keys), shapes)
    if any(difference):
        raise MultiSSLError(f'{refusal}; {difference.in_words()}' + f'. {advice}' * bool(advice))


def fill_backbone(backbone: nn.Module, path: str, prefix: str = 'backbone.',
                  name: str = 'the backbone') -> None:
    """Loads a checkpoint, of a whole model or of the backbone alone, into a backbone.

    Args:
        backbone (nn.Module): See :func:`fill`.
        path (str): See :func:`load_checkpoint_file`. Where no key has the prefix, but some are the
            backbone's own, it is of the backbone alone; ``fc``, the classifier of torchvision's
            and MoCo's files, is left out then.
        prefix (str): See :func:`backbone_state_dict`.
        name (str): What to call the backbone in an error.

    Raises:
        MultiSSLError: See :func:`fill`.
    """
    state_dict, expected = load_state_dict_file(path), backbone.state_dict()
    if not any(k.startswith(prefix) for k in state_dict) and any(k in expected for k in state_dict):
        own = {k: v for k, v in state_dict.items() if k in expected or not k.startswith('fc.')}
    else:
        own = backbone_state_dict(state_dict, prefix, path)
    fill(backbone, own, f'{path}: does not fit {name}',
         'Use the config that it was trained with, or set the prefix')


def some(items: Iterable[str], limit: int = 5) -> str:
    """The first few of a list, for messages."""
    items = list(items)
    more = f', ... ({len(items)} in all)' if len(items) > limit else ''
    return ', '.join(items[:limit]) + more


def save_atomically(checkpoint: Mapping[str, Any], path: Union[str, Path]) -> None:
    """``torch.save`` to a file that is whole or not there."""
    with atomic_path(path) as part:
        torch.save(checkpoint, part)


def not_finite(state_dict: Mapping[str, Tensor]) -> List[str]:
    """Keys of the tensors that have a NaN or an infinite value."""
    tensors = {k: v for k, v in state_dict.items()
               if isinstance(v, Tensor) and v.is_floating_point()}
    finite = _to_host([torch.isfinite(v).all() for v in tensors.values()])
    return [key for key, good in zip(tensors, finite) if not good]


def digest(state_dict: Mapping[str, Tensor]) -> str:
    """A short text that is the same for equal keys and values, on any device.

    One pass over the tensors: the sum of the bits of each, which no order of summation changes.
    """
    tensors = {k: v.detach().flatten() for k, v in state_dict.items() if isinstance(v, Tensor)}
    sums = _to_host([v.view(_INTEGERS.get(v.element_size(), torch.int64)).sum(dtype=torch.int64)
                     for v in tensors.values()])
    return hashlib.sha256(repr((list(tensors), sums)).encode()).hexdigest()[:16]


#: By the size of a tensor's elements.
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


def _to_host(scalars: List[Tensor]) -> List[Any]:
    """Values of scalars, with one wait for the device that they are on."""
    return torch.stack([v.to(scalars[0].device) for v in scalars]).tolist() if scalars else []


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
