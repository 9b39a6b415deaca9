"""An optimizer that treats biases and norms apart, whatever they are called."""
from typing import List, Optional, Union

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ...registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PlainNormsConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's, with no weight decay and LARS' plain rate for biases and norms.

    So MoCo v3's and BYOL's recipes have it, by the names of a ResNet's norms. Here they are all
    parameters of at most one dimension. What ``paramwise_cfg`` says of one comes first.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        # MMEngine makes groups only where there is an option.
        super().__init__(optim_wrapper_cfg, {'custom_keys': {}, **(paramwise_cfg or {})})

    def add_params(self, params: List[dict], module: nn.Module, prefix: str = '',
                   is_dcn_module: Optional[Union[int, float]] = None) -> None:
        """Adds the parameters of a module, a group each."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:  # once, for the whole model
            return
        for group in params:
            if group['params'][0].ndim <= 1:
                group.setdefault('weight_decay', 0.)
                group.setdefault('lars_exclude', True)
