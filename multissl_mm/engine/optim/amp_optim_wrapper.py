"""Mixed precision on every device, with steps that are skipped where a gradient is no number."""
from typing import Any, Optional, Union

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper as _AmpOptimWrapper
from mmengine.optim import OptimWrapper

from ...errors import MultiSSLError
from ...registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(_AmpOptimWrapper):
    """MMEngine's, for bfloat16 on the CPU, too.

    A step whose gradients are not all finite is skipped in either precision: float16 needs it
    anyway for its dynamic loss scale, bfloat16 gets it by a constant scale of 1.

    Args:
        dtype (str | torch.dtype, optional): ``float16`` or ``bfloat16``. Defaults to float16 on
            accelerators, and to bfloat16, the only one there is, on the CPU.
        loss_scale (str | float | dict, optional): See :class:`mmengine.optim.AmpOptimWrapper`.
            Defaults to dynamic for float16 and 1 for bfloat16.
    """

    def __init__(self, dtype: Union[str, torch.dtype, None] = None,
                 loss_scale: Union[str, float, dict, None] = None, **kwargs: Any) -> None:
        on_cpu = get_device() in ('cpu', 'mps')
        name: Optional[str] = str(dtype).rpartition('.')[2] if dtype is not None else None
        name = name or ('bfloat16' if on_cpu else 'float16')
        if loss_scale is None:
            loss_scale = 1. if name == 'bfloat16' else 'dynamic'
        if not on_cpu:
            super().__init__(loss_scale=loss_scale, dtype=name, **kwargs)
            return
        if name != 'bfloat16':
            raise MultiSSLError(f'optim_wrapper.dtype {name}: on the CPU mixed precision is '
                                "bfloat16; remove it or set it to 'bfloat16'")
        OptimWrapper.__init__(self, **kwargs)  # MMEngine's own asks for a GPU
        self.cast_dtype, self._scale_update_param = torch.bfloat16, 1.
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=1.)
