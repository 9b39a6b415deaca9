"""Where the responses come from that a model is held to: a bank on disk, or frozen copies."""
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import nn

from ..errors import MultiSSLError
from ..models.pretext import Responses
from ..registry import MODELS
from ..utils.device import to_device
from .bank import check_options

SOURCES = ('stored', 'teacher')


@MODELS.register_module()
class ResponseSource(nn.Module):
    """The option ``responses`` of an algorithm.

    Args:
        names (sequence[str]): Who answers: old tasks, or experts.
        source (str): ``stored``, recorded once to disk and read back, or ``teacher``, answered on
            the fly by frozen modules. On the same views the two are equal.
        replicas (int, optional): How many different views per image there are responses to; epoch
            e shows the views of replica e mod replicas. Required for stored; for a teacher, None
            means new views every epoch.
        momentum (float, optional): For a teacher that does not stand still but follows the model,
            as a momentum encoder does, once per step of the optimizer. None (the default) for one
            that answers as it did when its task was finished.
        bank: For stored also ``root`` (default: ``responses`` in the work directory), ``dtype``
            and ``shard_size``, see :class:`ResponseBank`.

    The buffer ``recorded`` (len(names), 32) holds digests of what the banks were recorded from, so
    that a resumed run refuses any other.
    """

    recorded: torch.Tensor

    def __init__(self, names: Sequence[str], source: Optional[str] = None,
                 replicas: Optional[int] = None, momentum: Optional[float] = None,
                 **bank: Any) -> None:
        super().__init__()
        if source not in SOURCES:
            raise MultiSSLError(f'model.responses.source is {source!r}; it must be one of '
                                f'{", ".join(SOURCES)}')
        if source == 'stored' and not (replicas and replicas > 0):
            raise MultiSSLError('stored responses belong to given views: set '
                                'model.responses.replicas to how many per image, at least 1')
        if momentum is not None and (source == 'stored' or not 0 <= momentum <= 1):
            raise MultiSSLError(f'model.responses.momentum is {momentum!r} with source='
                                f"{source!r}; it is for source='teacher', from 0 to 1")
        check_options(**bank)
        self.names = list(names)
        self.stored, self.replicas, self.bank_cfg = source == 'stored', replicas, bank
        self.momentum = momentum
        # Bytes, but long: MMEngine's SyncBuffersHook sums buffers over the ranks, and divides.
        self.register_buffer('recorded', torch.zeros(len(self.names), 32, dtype=torch.long))

    def digest(self, name: str) -> str:
        """Hexadecimal digest of what the bank of ``name`` was recorded from."""
        return bytes(self.recorded[self.names.index(name)].tolist()).hex()

    def set_digest(self, name: str, digest: bytes) -> None:
        """Notes what the bank of ``name`` is recorded from, 32 bytes."""
        self.recorded[self.names.index(name)] = torch.tensor(list(digest))

    def read(self, name: str, samples: Optional[Sequence]) -> Responses:
        """Stored responses of ``name`` to the samples of a batch, each (N, ...), float32.

        The loader's workers have read them from the bank and the samples bring them along.

        Args:
            name (str): Of an old task or an expert.
            samples (sequence): N elements with ``kept``, which :class:`KeyedDataset` sets.

        Raises:
            MultiSSLError: If they do not bring them; says what a run needs for that.
        """
        kept: List[Mapping[str, Mapping[str, np.ndarray]]] = [
            sample.get('kept', {}) for sample in samples or [] if sample is not None]
        if not kept or any(name not in rows for rows in kept):
            raise MultiSSLError(
                f'the batch brings no stored responses of {name}: a run needs the hook that '
                'records them, multissl_mm.ILStageHook or, for experts, '
                'multissl_mm.ExpertLatentsHook, and train_dataloader.dataset of type '
                "'multissl_mm.KeyedDataset' around yours (or model.responses.source='teacher')")
        stacked: Dict[str, np.ndarray] = {
            key: np.stack([rows[name][key] for rows in kept]) for key in kept[0][name]}
        return {key: to_device(torch.from_numpy(rows), self.recorded.device).float()
                for key, rows in stacked.items()}
