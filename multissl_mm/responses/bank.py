"""Old responses on disk (section 4.3: "the responses are saved")."""
import errno
import hashlib
import io
import json
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
from torch import Tensor

from ..errors import MultiSSLError
from ..utils.digest import file_digest
from ..utils.files import atomic_path, free_bytes, remove_leftovers, write_atomically

#: Shards that a process keeps open, each by a memory map and its file descriptor.
MAX_OPEN = 128

#: For each value of the identity, what a bank with another one was recorded from.
_OTHER = dict(weights='other weights', data='other data', samples='another number of samples',
              views='other views (pipeline)', seed='other views (seed)',
              replicas='another number of replicas', dtype='another dtype',
              shard_size='another shard size', kind='another kind of distillation',
              inputs='other views (model.view_names or data_preprocessor)')


class ResponseBank:
    """Responses of one task to every sample, in memory-mapped shards.

    A shard holds ``shard_size`` consecutive samples of one replica, one ``.npy`` file per named
    response, shape (rows, ...), and its SHA-256 beside it (``sha256sum -c replica*/*.sha256``),
    which is compared before a shard is read from. It appears under its name only when it is whole:
    an interrupted recording goes on with the shards that are missing. ``manifest.json`` names the
    weights, the data and the views that the responses belong to, and a bank of any other is
    refused.

    A bank holds no file open itself and is cheap to pickle: it goes with the keys of samples to
    the loader's workers, which read it there (:class:`~multissl_mm.datasets.keyed.KeptResponses`).

    Args:
        root (str): Folder of the bank.
        identity (dict): ``task``, digests ``weights``, ``data`` and ``views``, ``seed`` and
            ``samples``, the number of samples.
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
        self.name = str(identity['task'])
        self.samples, self.replicas = int(identity['samples']), replicas
        self.dtype, self.shard_size = np.dtype(dtype), shard_size
        self._shapes: Dict[str, Tuple[int, ...]] = {}
        self._has_room = False
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
                    f'({key}: {found.get(key)}, this run has {value}); remove that folder, or set '
                    'model.responses.root to another one, for a run that will record them. One '
                    "that is beyond the end of that task's stage must be resumed from there")

    def shards(self) -> List[Tuple[int, int]]:
        """All (replica, shard) pairs of a complete bank."""
        per_replica = -(-self.samples // self.shard_size)
        return [(r, s) for r in range(self.replicas) for s in range(per_replica)]

    def missing(self, verify: bool = False) -> List[Tuple[int, int]]:
        """The (replica, shard) pairs that are not recorded yet, or are no longer whole.

        Args:
            verify (bool): Compare what is there with its digests, too. Without it sizes count, and
                digests when a shard is first read from.
        """
        # Shards without a manifest may be of any run.
        shapes = self.shapes() if self._manifest_path.is_file() else {}
        return [(r, s) for r, s in self.shards() if not shapes or not all(
            self._is_whole(self._path(r, s, name), (len(self.rows(s)), *shape), verify)
            for name, shape in shapes.items())]

    def _is_whole(self, path: Path, shape: Tuple[int, ...], verify: bool) -> bool:
        if not path.is_file() or path.stat().st_size != self._size(shape):
            return False
        try:
            if verify:
                check_digest(path)
        except (ValueError, OSError):
            return False
        return True

    def _size(self, shape: Tuple[int, ...]) -> int:
        return len(self._header(shape)) + self.dtype.itemsize * int(np.prod(shape))

    def shapes(self) -> Dict[str, Tuple[int, ...]]:
        """Of one sample's responses, by name; empty until a batch was answered."""
        if not self._shapes:
            try:
                found = json.loads((self.root / 'responses.json').read_text())
                self._shapes = {name: tuple(shape) for name, shape in sorted(found.items())}
            except (OSError, ValueError, AttributeError, TypeError):  # what is damaged is missing
                pass
        return self._shapes

    def rows(self, shard: int) -> range:
        """Sample indices that a shard holds."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.samples))

    def _path(self, replica: int, shard: int, name: str) -> Path:
        return self.root / f'replica{replica:03d}' / f'{name}_{shard:05d}.npy'

    # ------------------------------------------------------------------ writing

    def create(self) -> None:
        """Writes the manifest; called by one process before any :meth:`write`."""
        for folder in (self.root, *self.root.glob('replica*')):
            remove_leftovers(folder)
        write_atomically(self._manifest_path, json.dumps(self.manifest, indent=2))

    def write(self, replica: int, shard: int, batches: Iterator[Dict[str, Tensor]]) -> None:
        """Records one shard from the responses to its samples, batch by batch in their order.

        Raises:
            MultiSSLError: If it cannot be written, as on a full disk; names the file.
        """
        total, done = len(self.rows(shard)), 0
        writers: Dict[str, Callable[[bytes], None]] = {}
        with ExitStack() as stack:
            for responses in batches:
                if not writers:
                    shapes = {n: list(r.shape[1:]) for n, r in responses.items()}
                    write_atomically(self.root / 'responses.json', json.dumps(shapes))
                    self._check_room()
                    writers = {n: stack.enter_context(_shard_file(
                        self._path(replica, shard, n), self._header((total, *shape))))
                        for n, shape in shapes.items()}
                for name, response in responses.items():
                    rows = response.detach().float().cpu().numpy().astype(self.dtype)
                    writers[name](rows.tobytes())
                done += len(rows)
            if done != total:
                raise RuntimeError(f'{done} responses for the {total} samples of shard {shard}')
        _open.cache_clear()

    def _check_room(self) -> None:
        """Once, before anything is written: is there room for all that is missing?"""
        if self._has_room:
            return
        check_free(self.root, self.name, self.needed(self.shapes()))
        self._has_room = True

    def needed(self, shapes: Mapping[str, Sequence[int]]) -> int:
        """Bytes that what is missing will take.

        Args:
            shapes (mapping[str, sequence[int]]): Of one sample's responses, by name.
        """
        return sum(self._size((len(self.rows(shard)), *shape))
                   for _, shard in self.missing() for shape in shapes.values())

    def _header(self, shape: Tuple[int, ...]) -> bytes:
        out = io.BytesIO()
        np.lib.format.write_array_header_1_0(out, dict(
            descr=np.lib.format.dtype_to_descr(self.dtype), fortran_order=False, shape=shape))
        return out.getvalue()

    # ------------------------------------------------------------------ reading

    def read(self, replica: int, index: int) -> Dict[str, np.ndarray]:
        """Responses to the views of one sample.

        Returns:
            dict[str, ndarray]: One row per named response, in the bank's dtype.

        Raises:
            MultiSSLError: If there are none, or if their file is damaged; says what to do.
        """
        if not self.shapes():
            raise MultiSSLError(f'{self.root} holds no responses: nothing was recorded there; '
                                "resume from the checkpoint of the end of that task's stage, "
                                'which records it')
        shard, row = divmod(index, self.shard_size)
        return {name: np.array(_open(self._path(replica, shard, name))[row])
                for name in self.shapes()}


@contextmanager
def _shard_file(path: Path, header: bytes) -> Iterator[Callable[[bytes], None]]:
    """Writes a shard's file batch by batch; it is whole and has its digest, or is not there."""
    sha = hashlib.sha256()
    with atomic_path(path) as part:
        with open(part, 'wb') as file:

            def write(data: bytes) -> None:
                file.write(data)
                sha.update(data)

            write(header)
            yield write
        write_atomically(f'{path}.sha256', f'{sha.hexdigest()}  {path.parent.name}/{path.name}\n')


@lru_cache(MAX_OPEN)
def _open(path: Path) -> np.ndarray:
    try:
        check_digest(path)
        return np.load(path, mmap_mode='r')
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise MultiSSLError(_too_many_open(path)) from error
        raise MultiSSLError(
            f'{path} cannot be read ({error}); restore it, or resume from the checkpoint '
            "of the end of that task's stage, which records it again") from error


#: Files whose digest this process has compared, with when they were written and their size.
_verified: Dict[Path, Tuple[int, int]] = {}


def check_digest(path: Path) -> None:
    """Compares a shard with the digest beside it, once in a process.

    It reads all of the shard, which random access does anyway in the course of an epoch: 16 MB, the
    size of 16,384 responses of 512 numbers, take 10 to 40 ms. Shards of older versions have none.

    Raises:
        ValueError: If a bit has changed since it was written.
        OSError: If it cannot be read.
    """
    status = path.stat()
    written = status.st_mtime_ns, status.st_size
    beside = path.with_name(f'{path.name}.sha256')
    if _verified.get(path) == written or not beside.is_file():
        return
    noted, _, name = beside.read_text().strip().partition('  ')
    if noted != file_digest(path):
        raise ValueError(f'its bits are not those of {beside.name} any more')
    if name not in (path.name, f'{path.parent.name}/{path.name}'):  # the former in older banks
        raise ValueError(f'it is {name} under another name')
    _verified[path] = written


def _too_many_open(path: Path) -> str:
    import resource  # not on Windows, which has no such limit
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (f'{path} cannot be opened: this process may have {limit} files open (ulimit -n), of '
            f'which responses take {_open.cache_info().currsize}; raise the limit to '
            f'{max(1024, 4 * MAX_OPEN)} or more')


def check_free(root: Path, names: str, needed: int) -> None:
    """Looks whether so many bytes are free for the responses of ``names``.

    Raises:
        MultiSSLError: If not; says how many there are.
    """
    free = free_bytes(root)
    if needed > free:
        raise MultiSSLError(
            f'{root}: the responses of {names} need {needed / 1e9:.3g} GB more, but only '
            f'{free / 1e9:.3g} GB are free; free some, or set model.responses.root to another '
            'disk; what is recorded is kept')


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
