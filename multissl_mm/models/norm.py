"""Batch norm that does not mind what it normalises."""
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..registry import MODELS


@MODELS.register_module()
class BNXd(_BatchNorm):
    """Batch norm of maps and of vectors: what stands in for SyncBN where there is none.

    SyncBN takes either, so that a config does not say which of the others would do.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass
