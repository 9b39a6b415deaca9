"""Progressive columns: an encoder per task, later ones looking at earlier ones (section 4.4)."""
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS


class Lateral(nn.Module):
    """What a stage gets from an earlier column: a scaled 1x1 convolution of its features.

    Args:
        in_channels (int): Of the earlier column.
        out_channels (int): Of the stage's input.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        # Rusu et al. let a learned scalar grow from a small value, so that a column starts as one
        # of its own.
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.conv(x)


@MODELS.register_module()
class ProgressiveColumns(BaseModule):
    """A column per task with lateral connections (Rusu et al. 2016, eq. 2; section 4.4).

    The input of stage i of column k is the output of its stage i - 1 plus that of every earlier
    column through a :class:`Lateral`. Earlier columns are frozen, batch norm statistics included.
    What is put out is what the current column does. That is the last one, unless a checkpoint of
    an earlier stage is loaded (buffer ``current``).

    Args:
        columns (sequence[dict]): Configs of the backbones, one per task.
        stages (sequence[str]): Names of a column's stages, in their order. Defaults to a ResNet's;
            those of a :class:`BinauralEncoder` are ``ear.0`` to ``ear.4``.
        input_shape (sequence[int]): (C, H, W) of an input to find the stages' channels with.
        init_cfg (dict, optional): See :class:`mmengine.model.BaseModule`.

    Raises:
        MultiSSLError: If a column lacks a stage, or strides differ between columns.
    """

    def __init__(self,
                 columns: Sequence[dict],
                 stages: Sequence[str] = ('layer1', 'layer2', 'layer3', 'layer4'),
                 input_shape: Sequence[int] = (3, 64, 64),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.columns = ModuleList(MODELS.build(cfg) for cfg in columns)
        self.stages = tuple(stages)
        self._outs: List[Dict[int, Tensor]] = []  # column -> stage -> output, of this pass
        for k, column in enumerate(self.columns):
            for i, name in enumerate(self.stages):
                try:
                    stage = column.get_submodule(name)
                except AttributeError:
                    raise MultiSSLError(
                        f'ProgressiveColumns.columns.{k} ({type(column).__name__}) has no stage '
                        f"'{name}'; set ProgressiveColumns.stages to the names of its stages"
                    ) from None
                # Bound to self, so that a copy of this module is led by its own laterals.
                stage.register_forward_hook(partial(self._keep, k, i))
                if k and i:
                    stage.register_forward_pre_hook(partial(self._add_laterals, k, i))
        self.laterals = nn.ModuleDict()
        self.column = -1
        shapes = self._shapes(input_shape)
        for k in range(1, len(shapes)):
            for i in range(1, len(self.stages)):
                for j in range(k):
                    a, b = shapes[j][i - 1], shapes[k][i - 1]
                    if a[1:] != b[1:]:
                        raise MultiSSLError(
                            f"ProgressiveColumns: '{self.stages[i - 1]}' of columns.{j} puts out "
                            f'{tuple(a[1:])}, that of columns.{k} {tuple(b[1:])}; columns need '
                            'the same strides')
                    self.laterals[f'{k}_{i}_{j}'] = Lateral(a[0], b[0])
        self.register_buffer('current', torch.tensor(0))
        self.set_column(len(self.columns) - 1)
        self.register_load_state_dict_post_hook(_set_loaded_column)

    def set_column(self, column: int) -> None:
        """Train and put out this column (from 0) from now on; the earlier ones are frozen."""
        self.column = column
        self.current.fill_(column)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'ProgressiveColumns':
        super().train(mode)
        for column in self.columns[:max(self.column, 0)]:
            column.eval()
        return self

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Stage outputs of the current column for a batch (N, C, H, W)."""
        self._outs = []
        for k, column in enumerate(self.columns[:self.column + 1]):
            self._outs.append({})
            with torch.set_grad_enabled(torch.is_grad_enabled() and k == self.column):
                out = column(x)
        self._outs = []
        return out

    def _keep(self, k: int, i: int, stage: nn.Module, inputs: Any, out: Tensor) -> None:
        self._outs[k][i] = out

    def _add_laterals(self, k: int, i: int, stage: nn.Module,
                      inputs: Tuple[Tensor, ...]) -> Optional[Tuple[Tensor, ...]]:
        if not len(self.laterals):
            return None  # while channels are being found
        x = inputs[0]
        for j in range(k):
            x = x + self.laterals[f'{k}_{i}_{j}'](self._outs[j][i - 1])
        return (x, *inputs[1:])

    @torch.no_grad()
    def _shapes(self, input_shape: Sequence[int]) -> List[List[torch.Size]]:
        """(C, H, W) of every stage of every column."""
        x, shapes = torch.zeros(1, *input_shape), []
        for k, column in enumerate(self.columns):
            self._outs = [{} for _ in self.columns]
            was_training = column.training
            column.eval()
            column(x)
            column.train(was_training)
            shapes.append([self._outs[k][i].shape[1:] for i in range(len(self.stages))])
        self._outs = []
        return shapes


def _set_loaded_column(module: ProgressiveColumns, incompatible: Any) -> None:
    module.set_column(int(module.current))
