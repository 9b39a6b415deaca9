"""Where the responses come from that a model is held to: a bank on disk, or frozen copies."""
from typing import Any, Dict, Optional, Sequence

import torch
from torch import nn

from ..errors import MultiSSLError
from ..models.pretext import Responses
from ..registry import MODELS
from .bank import ResponseBank, check_options

SOURCES = ('stored', 'teacher')


@MODELS.register_module()
class ResponseSource(nn.Module):
    """The option ``responses`` of an algorithm, and its banks.

    Args:
        names (sequence[str]): Who answers: old tasks, or experts.
        source (str): ``stored``, recorded once to disk and read back, or ``teacher``, answered on
            the fly by frozen modules. On the same views the two are equal.
        replicas (int, optional): How many different views per image there are responses to; epoch
            e shows the views of replica e mod replicas. Required for stored; for a teacher, None
            means new views every epoch.
        bank: For stored also ``root`` (default: ``responses`` in the work directory), ``dtype``
            and ``shard_size``, see :class:`ResponseBank`.

    The buffer ``recorded`` (len(names), 32) holds digests of what the banks were recorded from, so
    that a resumed run refuses any other.
    """

    def __init__(self, names: Sequence[str], source: Optional[str] = None,
                 replicas: Optional[int] = None, **bank: Any) -> None:
        super().__init__()
        if source not in SOURCES:
            raise MultiSSLError(f'model.responses.source is {source!r}; it must be one of '
                                f'{", ".join(SOURCES)}')
        if source == 'stored' and not (replicas and replicas > 0):
            raise MultiSSLError('stored responses belong to given views: set '
                                'model.responses.replicas to how many per image, at least 1')
        check_options(**bank)
        self.names = list(names)
        self.stored, self.replicas, self.bank_cfg = source == 'stored', replicas, bank
        self.register_buffer('recorded', torch.zeros(len(self.names), 32, dtype=torch.uint8))
        self.banks: Dict[str, ResponseBank] = {}

    def digest(self, name: str) -> str:
        """Hexadecimal digest of what the bank of ``name`` was recorded from."""
        return bytes(self.recorded[self.names.index(name)].tolist()).hex()

    def set_digest(self, name: str, digest: bytes) -> None:
        """Notes what the bank of ``name`` is recorded from, 32 bytes."""
        self.recorded[self.names.index(name)] = torch.tensor(list(digest), dtype=torch.uint8)

    def read(self, name: str, data_samples: Optional[Sequence]) -> Responses:
        """Stored responses of ``name`` to the samples of a batch, each (N, ...)."""
        if name not in self.banks:
            raise MultiSSLError(f'there are no stored responses of {name}: a run needs the hook '
                                'that records them, multissl_mm.ILStageHook or, for experts, '
                                "multissl_mm.ExpertLatentsHook (or source='teacher')")
        return self.banks[name].read(data_samples, device=self.recorded.device)
