"""Errors that a person can act on."""
from typing import Optional


class MultiSSLError(RuntimeError):
    """Caused by a config, a file or a command line; the tools print it without a traceback.

    Its text names the file, sample, task or config key, and what to do, in one or two lines.

    Args:
        message (str): The text.
        file (str, optional): The damaged file, where that is the cause; who skips damaged files
            counts by it.
    """

    def __init__(self, message: str, file: Optional[str] = None) -> None:
        super().__init__(message)
        self.file = file


def in_one_line(error: BaseException) -> str:
    """The text of an error, whose lines become one; its kind where it has no text."""
    return ' '.join(str(error).split()) or type(error).__name__
