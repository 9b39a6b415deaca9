"""What is logged while something else is done."""
import logging
from contextlib import contextmanager
from typing import Iterator

from mmengine.logging import MMLogger


@contextmanager
def warnings_alone() -> Iterator[None]:
    """A block without MMEngine's lines on every parameter and file that is loaded."""
    before = logging.root.manager.disable
    _disable(max(before, logging.INFO))
    try:
        yield
    finally:
        _disable(before)


def _disable(level: int) -> None:
    logging.disable(level)
    # MMEngine's loggers remember what they may say until the level of one of them is set.
    logger = MMLogger.get_current_instance()
    logger.setLevel(logger.level)
