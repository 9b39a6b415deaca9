"""Memory format and compilation, the same for every encoder of a model."""
from typing import Any, Iterable, Union

import torch
import torch._functorch.config
from torch import nn


def accelerate(modules: Iterable[nn.Module], encoders: Iterable[nn.Module], channels_last: bool,
               compile: Union[bool, dict]) -> None:
    """Applies the options ``channels_last`` and ``compile`` of an algorithm.

    Args:
        modules (iterable[nn.Module]): Get the memory format alone.
        encoders (iterable[nn.Module]): Are compiled, too; their keys stay as they are.
        channels_last (bool): The memory format that GPUs and recent CPUs convolve fastest in.
        compile (bool | dict): A dict holds arguments of :func:`torch.compile`.
    """
    encoders = list(encoders)
    if channels_last:
        for module in (*modules, *encoders):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile:
        _keep_graphs()
        for encoder in encoders:
            encoder.compile(**(compile if isinstance(compile, dict) else {}))


def _keep_graphs() -> None:
    # By default compiled code frees what a second backward pass would need: those of PCGrad and of
    # hooks that look at the tasks' gradients.
    config: Any = torch._functorch.config
    if hasattr(config, 'donated_buffer'):  # not in older versions
        config.donated_buffer = False
