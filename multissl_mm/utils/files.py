"""Files that are whole or not there."""
import os
from pathlib import Path
from typing import Union


def write_atomically(path: Union[str, Path], data: Union[str, bytes]) -> None:
    """Writes text or bytes under another name, then renames; makes the folder where needed.

    The other name is the process's own, so that several may write the same file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}')
    part.write_bytes(data.encode() if isinstance(data, str) else data)
    os.replace(part, path)
