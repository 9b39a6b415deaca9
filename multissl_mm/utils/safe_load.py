"""Checkpoints are read without running what is in them.

A checkpoint is a pickle, and a pickle may be a program. Where this module is imported, MMEngine
reads checkpoints by the loaders that are registered here, at its own seam (``CheckpointLoader``):
tensors and plain values come out, and of classes those alone that MMEngine's own files need.
Anything else is refused by name unless the user trusts the file, see
:mod:`multissl_mm.utils.permissions`.
"""
import argparse
import codecs
import functools
import os
import os.path as osp
import re
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any, Callable, Iterator, List, Optional

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

try:
    from numpy._core import multiarray  # NumPy 1.26 has it, too, but only where it is asked for
except ImportError:
    from numpy.core import multiarray  # type: ignore[no-redef]

from ..errors import MultiSSLError
from .permissions import TRUST_CHECKPOINT

#: What to do with a checkpoint that needs the code of others.
STRIP = ("where that is installed, write its tensors alone: torch.save(dict(state_dict=torch.load("
         "'FILE', weights_only=False)['state_dict']), 'NEW')")
#: Torch's own switches, which overrule what MMEngine asks of it.
_FORCE, _FORCE_NOT = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Reads a file for MMEngine, in place of its function of this name.

    Raises:
        MultiSSLError: Names the file, if it is not there, damaged, or holds code.
    """
    path = osp.expanduser(filename)
    if not osp.isfile(path):
        raise MultiSSLError(f'{path}: no such checkpoint')
    with tensors_alone(filename):
        found = torch.load(path, map_location=map_location,
                           weights_only=not TRUST_CHECKPOINT.given)
        if isinstance(found, torch.jit.ScriptModule) and not TRUST_CHECKPOINT.given:
            raise RuntimeError('TorchScript with weights_only')  # before torch 2.6 it did not
        return found


@contextmanager
def tensors_alone(name: str) -> Iterator[None]:
    """A block in which ``torch.load`` reads a checkpoint, and runs nothing of it.

    Raises:
        MultiSSLError: Names the checkpoint, whatever its damage makes torch raise.
    """
    before, force, force_not = get_safe_globals(), *map(os.environ.get, (_FORCE, _FORCE_NOT))
    try:
        if TRUST_CHECKPOINT.given:
            os.environ.pop(_FORCE, None)
        else:
            add_safe_globals(_allowed())
            os.environ.pop(_FORCE_NOT, None)
            os.environ[_FORCE] = '1'
        yield
    except MultiSSLError:
        raise
    except (ImportError, AttributeError) as e:  # of a class that is not installed here
        raise MultiSSLError(f'{name}: holds an object of a class that is not here '
                            f'({first_line(e)}); {STRIP}') from e
    except Exception as e:  # damaged data lead the reader to anything
        what = _code_in(e)
        raise MultiSSLError(
            f'{name}: cannot be read as a checkpoint ({first_line(e)})' if what is None else
            f'{name}: holds {what}, and reading that would run code which may do anything; '
            f'{STRIP}; or say that you trust it with {TRUST_CHECKPOINT.how()}') from e
    finally:
        clear_safe_globals()
        add_safe_globals(before)
        for variable, value in ((_FORCE, force), (_FORCE_NOT, force_not)):
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value


def first_line(error: BaseException) -> str:
    """Of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _code_in(error: Exception) -> Optional[str]:
    """What code torch has found, if that is what an error is about."""
    text = str(error)
    if isinstance(error, UnpicklingError):
        found = re.search(r"(?:GLOBAL|function|class) (?:<(?:class|function|built-in function) )?'?"
                          r"([\w.]+)", text)
        if found:
            return f'an object of {found.group(1)}'
        return 'a pickle of another kind' if 'Unsupported operand' in text else None
    if isinstance(error, RuntimeError) and 'weights_only' in text:
        return 'a TorchScript program' if 'TorchScript' in text else 'a file of the old tar format'
    return None


# ---------------------------------------------------------------------- what MMEngine's files need

def _of_history(buffer: type, name: str) -> Callable:
    # A pickle names the statistics of a HistoryBuffer by `getattr`, with which others would reach
    # whatever they like.
    if buffer is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise UnpicklingError(f'Unsupported global: GLOBAL {buffer}.{name}')
    return getattr(buffer, name)


def _called(name: str, function: Callable) -> Callable:
    """A function as a pickle names it."""
    def call(*args: Any) -> Any:
        return function(*args)
    call.__module__, _, call.__qualname__ = name.rpartition('.')
    call.__name__ = call.__qualname__
    return call


@functools.lru_cache
def _allowed() -> List[Any]:
    functions = [_called(f'numpy.{name}.multiarray.{function}', getattr(multiarray, function))
                 for name in ('core', '_core')  # before and since NumPy 2
                 for function in ('_reconstruct', 'scalar')]
    numbers = {type(np.dtype(kind)) for kind in '?bBhHiIlLqQefd'}
    # The bytes of a number; torch allows it by itself since 2.6.
    return [HistoryBuffer, _called('builtins.getattr', _of_history), *functions, codecs.encode,
            np.ndarray, np.dtype, *numbers, argparse.Namespace]


def _guarded(loader: Callable) -> Callable:
    """Another loader of MMEngine (``https://``, ``torchvision://``, ...), in such a block."""
    @functools.wraps(loader)
    def load(filename: str, *args: Any, **kwargs: Any) -> Any:
        with tensors_alone(filename):
            return loader(filename, *args, **kwargs)
    return load


for _prefix, _loader in list(CheckpointLoader._schemes.items()):
    CheckpointLoader.register_scheme(
        _prefix, _guarded(_loader) if _prefix else load_from_local, force=True)
