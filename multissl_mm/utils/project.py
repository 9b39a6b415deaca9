"""Where the configs and tools of this project are, in a checkout and in an installed package."""
import os
from pathlib import Path

from ..errors import MultiSSLError

PACKAGE = Path(__file__).resolve().parents[1]


def project_folder() -> Path:
    """The folder with ``configs/`` and ``tools/``.

    That is the checkout where the package runs from one, else what ``setup.py`` copied into the
    package for MIM. Nothing is written there: data and runs go to the current directory.
    """
    checkout = PACKAGE.parent
    return checkout if (checkout / 'setup.py').is_file() else PACKAGE / '.mim'


def project_file(name: str) -> str:
    """A config or tool by its name in the project, as one would type it from where one is.

    Args:
        name (str): E.g. ``configs/mocov2.py``.

    Returns:
        str: Relative to the current directory where the file is below it, else absolute.

    Raises:
        MultiSSLError: If there is no such file.
    """
    path = project_folder() / name
    if not path.is_file():
        raise MultiSSLError(f'{path}: no such file; reinstall multissl_mm, or run this from a '
                            'checkout')
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
