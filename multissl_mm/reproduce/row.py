"""A row of a table, and the encoder that it comes to."""
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Tuple

from .store import Stored

#: Old responses to the views of every step, for ``--cfg-options``.
TEACHER = 'model.responses.source=teacher', 'model.responses.replicas=None'


class Row(NamedTuple):
    """One row of a table.

    Args:
        title (str): As in the paper where it is there.
        pretrain (str | None): Name of the config; None where there is nothing to train.
        parts (tuple[str]): Rows whose encoders it is made of, or learns from.
        backbone (str | None): Name of the config that has the backbone, where it is not pretrain's.
        kind (str): Of backbone, in the name of a Mask R-CNN's config.
        paper (tuple[float | None]): The paper's numbers in the order of the table's columns.
        options (tuple[str]): For ``--cfg-options`` of the pretraining.
        start (str | None): Row whose checkpoint the pretraining starts from.
        within (tuple[str, str] | None): Row that trained this one on its way, and the name of
            the checkpoint that it left of it. Where there is a ``pretrain``, too, that is trained
            unless the other row is trained anyway.
        as_long_as (str | None): Config whose stages together are as long as this training is to
            be: a control of equal compute.
        shares (tuple[int]): Of the stages, in all of their epochs; as the config says by default.
        part_seeds (tuple[int]): What is added to the seed for each of the parts; 0 by default.
        average (bool): Whether the encoder is the mean of its parts, in their weights.
    """
    title: str
    pretrain: Optional[str] = None
    parts: Tuple[str, ...] = ()
    backbone: Optional[str] = None
    kind: str = ''
    paper: Tuple[Optional[float], ...] = ()
    options: Tuple[str, ...] = ()
    start: Optional[str] = None
    within: Optional[Tuple[str, str]] = None
    as_long_as: Optional[str] = None
    shares: Tuple[int, ...] = ()
    part_seeds: Tuple[int, ...] = ()
    average: bool = False

    @property
    def frozen(self) -> bool:
        """Whether it is encoders side by side, which are never trained any further."""
        return bool(self.parts) and self.pretrain is None and not self.average

    def before(self, seed: int) -> List[Tuple[str, int]]:
        """Rows that it is made of, learns from or starts from, and their seeds."""
        offsets = self.part_seeds or (0, ) * len(self.parts)
        return [*((part, seed + offset) for part, offset in zip(self.parts, offsets)),
                *([(self.start, seed)] if self.start is not None else [])]


class Encoder(NamedTuple):
    """What is evaluated.

    Args:
        config (str): That has the backbone.
        checkpoint (Path | None): Its weights; None is random.
        origin (Any): What determines them; may have :class:`~.store.Origin` in it.
        needs (tuple[Path]): Results of steps that make them.
        trained (tuple[tuple[Stored, str | None]]): Trainings that it took, and the checkpoint of a
            stage where that was all that it took of them.
    """
    config: str
    checkpoint: Optional[Path]
    origin: Any
    needs: Tuple[Path, ...] = ()
    trained: Tuple[Tuple[Stored, Optional[str]], ...] = ()
