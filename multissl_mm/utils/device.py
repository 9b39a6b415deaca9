"""From the host to the device, and back."""
from typing import Any, List, Sequence, Union

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: Union[str, torch.device]) -> Tensor:
    """A tensor of the host on a device, which it has not to wait for.

    A copy to a GPU returns at once only if it starts from pinned memory; otherwise the host waits
    until the GPU has done what it was given before.

    Args:
        tensor (Tensor): On the CPU.
        device (torch.device): Any; on the CPU the tensor is returned as it is.
    """
    if torch.device(device).type == 'cuda':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def to_host(scalars: Sequence[Tensor]) -> List[Any]:
    """Values of scalars of one dtype, with one wait for the device that they are on.

    Those that are on another one than the first come there first.
    """
    return torch.stack([v.to(scalars[0].device) for v in scalars]).tolist() if scalars else []
