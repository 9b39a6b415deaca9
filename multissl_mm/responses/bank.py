"""Old responses on disk (section 4.3: "the responses are saved")."""
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from ..errors import MultiSSLError
from ..utils.files import write_atomically

#: For each value of the identity, what a bank with another one was recorded from.
_OTHER = dict(weights='other weights', data='other data', samples='another number of samples',
              views='other views (pipeline)', seed='other views (seed)',
              replicas='another number of replicas', dtype='another dtype',
              shard_size='another shard size', kind='another kind of distillation',
              inputs='other views (model.view_names or data_preprocessor)')


class ResponseBank:
    """Responses of one task to every sample, in memory-mapped shards.

    A shard holds ``shard_size`` consecutive samples of one replica, one ``.npy`` file per named
    response, shape (rows, ...). It appears under its name only when it is whole: an interrupted
    recording goes on with the shards that are missing. ``manifest.json`` names the weights, the
    data and the views that the responses belong to, and a bank of any other is refused.

    Args:
        root (str): Folder of the bank.
        identity (dict): Digests ``weights``, ``data`` and ``views``, ``seed`` and ``samples``, the
            number of samples.
        replicas (int): Sets of views per sample.
        dtype (str): Of the stored numbers; float16 keeps losses to 1e-2, float32 exactly.
        shard_size (int): Samples per shard; a kill while recording loses one shard at most.

    Raises:
        MultiSSLError: If the folder holds a bank of another identity. Nothing is overwritten.
    """

    def __init__(self, root: Union[str, Path], identity: Dict[str, Any], replicas: int = 1,
                 dtype: str = 'float16', shard_size: int = 16384) -> None:
        check_options(dtype=dtype, shard_size=shard_size)
        self.root = Path(root)
        self.manifest = dict(identity, replicas=replicas, dtype=dtype, shard_size=shard_size)
        self.samples, self.replicas = int(identity['samples']), replicas
        self.dtype, self.shard_size = np.dtype(dtype), shard_size
        self._maps: Dict[Tuple[int, int], Dict[str, np.ndarray]] = {}
        self._known: Optional[List[str]] = None
        self._check_manifest()

    # ------------------------------------------------------------------ what is there

    @property
    def _manifest_path(self) -> Path:
        return self.root / 'manifest.json'

    def _check_manifest(self) -> None:
        if not self._manifest_path.is_file():
            return
        try:
            found = json.loads(self._manifest_path.read_text())
        except ValueError as error:
            raise MultiSSLError(f'{self._manifest_path} is damaged ({error}); remove the folder, '
                                'its responses are recorded again') from error
        for key, value in self.manifest.items():
            if found.get(key) != value:
                raise MultiSSLError(
                    f'{self.root} holds responses recorded from {_OTHER.get(key, key)} '
                    f'({key}: {found.get(key)}, this run has {value}); remove that folder to '
                    'record again, or set model.responses.root to another one')

    def shards(self) -> List[Tuple[int, int]]:
        """All (replica, shard) pairs of a complete bank."""
        per_replica = -(-self.samples // self.shard_size)
        return [(r, s) for r in range(self.replicas) for s in range(per_replica)]

    def missing(self) -> List[Tuple[int, int]]:
        """The (replica, shard) pairs that are not recorded yet."""
        names = self._names()
        if names is None:
            return self.shards()
        return [rs for rs in self.shards()
                if not all(self._path(*rs, name).is_file() for name in names)]

    def _names(self) -> Optional[List[str]]:
        path = self.root / 'responses.json'  # names and shapes, known once a batch was answered
        if self._known is None and path.is_file():  # once: every training step asks
            self._known = sorted(json.loads(path.read_text()))
        return self._known

    def rows(self, shard: int) -> range:
        """Sample indices that a shard holds."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.samples))

    def _path(self, replica: int, shard: int, name: str) -> Path:
        return self.root / f'replica{replica:03d}' / f'{name}_{shard:05d}.npy'

    # ------------------------------------------------------------------ writing

    def create(self) -> None:
        """Writes the manifest; called by one process before any :meth:`write`."""
        write_atomically(self._manifest_path, json.dumps(self.manifest, indent=2))

    def write(self, replica: int, shard: int, batches: Iterator[Dict[str, Tensor]]) -> None:
        """Records one shard from the responses to its samples, batch by batch in their order."""
        total = len(self.rows(shard))
        arrays: Dict[str, np.ndarray] = {}
        done = 0
        for responses in batches:
            if not arrays:
                shapes = {n: list(r.shape[1:]) for n, r in responses.items()}
                write_atomically(self.root / 'responses.json', json.dumps(shapes))
                arrays = {n: self._open(replica, shard, n, (total, *s)) for n, s in shapes.items()}
            for name, response in responses.items():
                arrays[name][done:done + len(response)] = response.detach().float().cpu().numpy()
            done += len(response)
        if done != total:
            raise RuntimeError(f'{done} responses for the {total} samples of shard {shard}')
        for name, array in arrays.items():
            array.flush()
            os.replace(_partial(self._path(replica, shard, name)), self._path(replica, shard, name))

    def _open(self, replica: int, shard: int, name: str, shape: Tuple[int, ...]) -> np.ndarray:
        path = self._path(replica, shard, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return np.lib.format.open_memmap(_partial(path), 'w+', self.dtype, shape)

    # ------------------------------------------------------------------ reading

    def read(self, data_samples: Optional[Sequence], device: Union[str, torch.device] = 'cpu'
             ) -> Dict[str, Tensor]:
        """Responses to the samples of a batch.

        Args:
            data_samples (sequence): N elements with ``sample_idx`` and ``replica``, which
                :class:`KeyedDataset` sets.
            device (torch.device): Where they are wanted.

        Returns:
            dict[str, Tensor]: (N, ...) in float32, in the order of the batch.
        """
        rows = [(s.get('replica'), s.get('sample_idx')) for s in data_samples or [None]
                if s is not None]
        if not rows or any(r is None or i is None for r, i in rows):
            raise MultiSSLError(
                'the batch does not say which views it shows; stored responses need '
                "train_dataloader.dataset of type 'multissl_mm.KeyedDataset' around yours")
        names = self._names()
        out: Dict[str, Tensor] = {}
        for name in names or []:
            stored = [self._map(r, i // self.shard_size, name)[i % self.shard_size]
                      for r, i in rows]
            out[name] = torch.from_numpy(np.stack(stored).astype(np.float32)).to(
                device, non_blocking=True)
        return out

    def _map(self, replica: int, shard: int, name: str) -> np.ndarray:
        maps = self._maps.setdefault((replica, shard), {})
        if name not in maps:
            path = self._path(replica, shard, name)
            try:
                maps[name] = np.load(path, mmap_mode='r')
            except (OSError, ValueError) as error:
                raise MultiSSLError(
                    f'{path} cannot be read ({error}); restore it, or resume from the checkpoint '
                    "of the end of that task's stage, which records it again") from error
        return maps[name]


def check_options(root: Optional[str] = None, dtype: str = 'float16', shard_size: int = 16384,
                  **unknown: Any) -> None:
    """Refuses wrong options of ``model.responses`` before a run, not when a stage ends."""
    if dtype not in ('float16', 'float32'):
        raise MultiSSLError(f'model.responses.dtype is {dtype!r}; it must be float16 or float32')
    if shard_size < 1:
        raise MultiSSLError(f'model.responses.shard_size is {shard_size}; it must be at least 1')
    if unknown:
        raise MultiSSLError(f'model.responses has no option {", ".join(sorted(unknown))}; there '
                            'are source, replicas, root, dtype and shard_size')


def _partial(path: Path) -> Path:
    return path.with_name(f'.{path.name}.partial')
