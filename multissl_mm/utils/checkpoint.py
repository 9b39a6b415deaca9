"""Reading checkpoints and comparing their keys, for hooks, converters and benchmarks."""
import hashlib
import io
import os
import os.path as osp
import re
import tarfile
import zipfile
from collections import OrderedDict
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import MultiSSLError
from .device import to_host
from .files import AnyPath, atomic_path
from .safe_load import CheckpointLoader, first_line


def load_state_dict_file(path: AnyPath) -> Dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU, without the prefix of a distributed wrapper.

    Args:
        path (str): See :func:`load_checkpoint_file`.

    Raises:
        MultiSSLError: If it is not there, cannot be read or has no tensors.
    """
    return unwrapped(load_checkpoint_file(path), path)


def load_checkpoint_file(path: AnyPath) -> Any:
    """All that is in a checkpoint, its tensors on the CPU; nothing of it is run.

    See :mod:`multissl_mm.utils.safe_load`.

    Args:
        path (str): A file, or anything else that MMEngine loads (``https://``,
            ``torchvision://resnet50``, ...).

    Raises:
        MultiSSLError: If it is not there or cannot be read.
    """
    path = os.fspath(path)
    check_content(path)
    return CheckpointLoader.load_checkpoint(path, map_location='cpu')


def check_whole(path: AnyPath) -> None:
    """Looks whether a file can be a checkpoint, by its two ends; nothing in it is loaded.

    Args:
        path (str): As of :func:`load_checkpoint_file`; what is no file is not looked at.

    Raises:
        MultiSSLError: If it is not there, empty, cut off or something else.
    """
    path = os.fspath(path)
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
    if start == b'PK' and not _is_zip(path):
        raise MultiSSLError(f'{path}: cannot be read as a checkpoint, it was cut off; take '
                            'another one, or copy it again')
    if start != b'PK' and start[:1] != b'\x80' and not tarfile.is_tarfile(path):
        raise MultiSSLError(f'{path}: cannot be read as a checkpoint, it is another kind of file')


def _is_zip(path: str) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return False


def check_content(path: AnyPath) -> None:
    """Reads all of a file and compares it with the checksums (CRC-32) that are in it.

    Torch writes them and does not look: a flipped bit would become another weight. Reading takes
    0.3 s for 800 MB.

    Raises:
        MultiSSLError: As :func:`check_whole`, or if one does not fit; names what is damaged.
    """
    path = os.fspath(path)
    check_whole(path)
    if '://' in path or not _is_zip(path):  # older files have none
        return
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except Exception as e:  # of names, lengths and streams of bytes that make no sense
        damaged = first_line(e)
    if damaged:
        raise MultiSSLError(f'{path}: cannot be used as a checkpoint, bits of it have changed '
                            f'since it was written ({damaged}); take another one, or copy it again')


def unwrapped(checkpoint: Any, path: AnyPath = 'the checkpoint') -> Dict[str, Tensor]:
    """The tensors of a loaded checkpoint, see :func:`load_state_dict_file`.

    Args:
        checkpoint (Any): What is in it.
        path (str): What to call it in an error.

    Raises:
        MultiSSLError: If it has none; says what it has.
    """
    if not isinstance(checkpoint, Mapping):
        raise MultiSSLError(f'{path}: holds a {type(checkpoint).__name__}, not a dict with a '
                            'state_dict; take another one')
    key = next((key for key in ('state_dict', 'model') if key in checkpoint), None)
    state_dict = checkpoint if key is None else checkpoint[key]
    tensors = _flat(state_dict)
    if tensors:
        return tensors
    if key is None:
        raise MultiSSLError(f'{path}: holds no state_dict' +
                            f', but {some(map(str, checkpoint))}' * bool(checkpoint))
    held = sorted({type(value).__name__ for value in state_dict.values()}) \
        if isinstance(state_dict, Mapping) else [type(state_dict).__name__]
    raise MultiSSLError(f'{path}: its {key} holds no tensor, but {some(held) or "nothing"}; take '
                        'another one, or save it anew with tensors')


def _flat(state: Any) -> Dict[str, Tensor]:
    """The tensors of a mapping; where it has none, those of the mappings in it, with their keys."""
    if not isinstance(state, Mapping):
        return {}
    tensors = OrderedDict((re.sub(r'^module\.', '', k), v) for k, v in state.items()
                          if isinstance(v, Tensor))
    # By its versions of layers modules know what to convert.
    versions = getattr(state, '_metadata', {})
    tensors._metadata = {  # type: ignore[attr-defined]
        re.sub(r'^module(\.|$)', '', k): v for k, v in versions.items()}
    return tensors or {f'{outer}.{inner}': tensor for outer, nested in state.items()
                       for inner, tensor in _flat(nested).items()}


def backbone_state_dict(state_dict: Mapping[str, Tensor],
                        prefix: str = 'backbone.',
                        path: AnyPath = 'the checkpoint') -> Dict[str, Tensor]:
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
    difference = fill_in(module, state_dict)
    if any(difference):
        raise MultiSSLError(f'{refusal}; {difference.in_words()}' + f'. {advice}' * bool(advice))


def fill_in(module: nn.Module, state_dict: Mapping[str, Tensor]) -> Difference:
    """Loads what fits of a state dict into a module; returns what does not.

    Keys that the module converts on load, as torch's hooks let it, are those that it makes of them.
    """
    shapes = compare(module.state_dict(), state_dict).shapes  # torch would raise at once
    odd = {name.partition(' ')[0] for name in shapes}
    fitting = OrderedDict((k, v) for k, v in state_dict.items() if k not in odd)
    fitting._metadata = getattr(state_dict, '_metadata', {})  # type: ignore[attr-defined]
    result = module.load_state_dict(fitting, strict=False)
    missing = [k for k in result.missing_keys
               if k not in odd and not k.endswith('num_batches_tracked')]
    return Difference(missing, list(result.unexpected_keys), shapes)


def fill_backbone(backbone: nn.Module, path: AnyPath, prefix: str = 'backbone.',
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


def save_atomically(checkpoint: Mapping[str, Any], path: AnyPath) -> None:
    """``torch.save`` to a file that is whole or not there."""
    # By way of memory: torch's own writer does not say what the system refuses.
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    # The view is let go of before an error can hold it: Python 3.12.1 ends by SIGSEGV when it
    # collects a view and its buffer that only each other and a traceback refer to.
    with atomic_path(path) as part, open(part, 'wb') as file, buffer.getbuffer() as view:
        file.write(view)


def not_finite(state_dict: Mapping[str, Tensor]) -> List[str]:
    """Keys of the tensors that have a NaN or an infinite value."""
    tensors = {k: v for k, v in state_dict.items()
               if isinstance(v, Tensor) and v.is_floating_point()}
    finite = to_host([torch.isfinite(v).all() for v in tensors.values()])
    return [key for key, good in zip(tensors, finite) if not good]


def digest(state_dict: Mapping[str, Tensor]) -> str:
    """A short text that is the same for equal keys and values, on any device.

    One pass over the tensors: the sum of the bits of each, which no order of summation changes.
    """
    tensors = {k: v.detach().flatten() for k, v in state_dict.items() if isinstance(v, Tensor)}
    sums = to_host([v.view(_INTEGERS.get(v.element_size(), torch.int64)).sum(dtype=torch.int64)
                    for v in tensors.values()])
    return hashlib.sha256(repr((list(tensors), sums)).encode()).hexdigest()[:16]


#: By the size of a tensor's elements.
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
