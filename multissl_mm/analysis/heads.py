"""A picture of what tells a listener where a sound comes from."""
from pathlib import Path
from typing import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..simulation.heads import DIRECTIONS, cues
from ..utils.figures import save_figure

#: Hz: below it ears compare times, in it and above levels.
BANDS = ((200., 1000.), (1500., 4000.), (4000., 8000.))


def draw_heads(heads: Sequence[str], out: Path) -> Path:
    """Interaural differences of time and level against azimuth, one curve a head.

    Args:
        heads (sequence[str]): See :func:`multissl_mm.simulation.heads.impulse_responses`.
        out (Path): Picture; its ending says in which format.

    Returns:
        Path: ``out``.
    """
    order = np.argsort((np.arange(DIRECTIONS) + DIRECTIONS // 2) % DIRECTIONS)
    azimuths = (order * 360 / DIRECTIONS + 180) % 360 - 180
    figure = Figure(figsize=(11, 7), layout='constrained')
    axes = figure.subplots(2, 2).ravel()
    for head in heads:
        name = Path(head).stem
        axes[0].plot(azimuths, cues(head).lead[order], label=name)
        for axis, band in zip(axes[1:], BANDS):
            axis.plot(azimuths, cues(head, band=band).level[order], label=name)
    axes[0].set(title='by how much the left ear is earlier, below 1.5 kHz', ylabel='ms')
    for axis, (low, high) in zip(axes[1:], BANDS):
        axis.set(title=f'by how much it is louder, {low:.0f} to {high:.0f} Hz', ylabel='dB')
    for axis in axes:
        axis.set(xlabel='azimuth, degrees, positive to the left', xticks=range(-180, 181, 45))
        axis.grid(alpha=.3)
        axis.legend()
    save_figure(figure, out)
    return out
