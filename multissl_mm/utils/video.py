"""PyAV, which only what reads or writes MP4 needs."""
from types import ModuleType

from ..errors import MultiSSLError


def import_av() -> ModuleType:
    """The package ``av``.

    Raises:
        MultiSSLError: If it is not installed; names the extra that installs it.
    """
    try:
        import av
    except ImportError as error:
        raise MultiSSLError(f'video is read and written with the package av ({error}); pip install '
                            '"multissl_mm[video]"') from error
    return av
