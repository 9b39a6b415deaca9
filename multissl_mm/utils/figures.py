"""Figures as files."""
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MultiSSLError
from .files import AnyPath, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: 'Figure', path: AnyPath) -> None:
    """Writes a figure of matplotlib, whole or not at all; its name's ending says in which format.

    Raises:
        MultiSSLError: If there is no such format, or the system refuses to write.
    """
    path = Path(path)
    kind, known = path.suffix[1:].lower(), sorted(figure.canvas.get_supported_filetypes())
    if kind not in known:  # without an ending matplotlib would add one, and write another file
        raise MultiSSLError(f'{path}: a picture is to end with its format, one of .'
                            f'{", .".join(known)}')
    data = BytesIO()
    figure.savefig(data, format=kind)
    write_atomically(path, data.getvalue())
