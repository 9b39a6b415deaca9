"""What a backbone puts out, found by asking it."""
from typing import List, Sequence

import torch
from torch import nn


@torch.no_grad()
def output_shapes(backbone: nn.Module, input_shape: Sequence[int] = (3, 64, 64)
                  ) -> List[torch.Size]:
    """Shapes (C, ...) of a backbone's outputs for one input of ``input_shape`` (C, ...).

    In eval mode, so that nothing of the backbone changes.
    """
    was_training = backbone.training
    backbone.eval()
    outs = backbone.forward(torch.zeros(1, *input_shape))  # as it is, even if it is compiled
    backbone.train(was_training)
    return [out.shape[1:] for out in (outs if isinstance(outs, (tuple, list)) else (outs, ))]
