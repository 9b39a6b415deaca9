"""How OmniAudio is converted."""
from typing import NamedTuple, Tuple

from ...errors import MultiSSLError


class Options(NamedTuple):
    """What the arrays of a scene depend on.

    Args:
        fps (float): Stored frames per second.
        flow_steps (int): Flow is measured in so many steps from one stored frame to the next, on
            pictures of twice the size.
        size (tuple[int, int]): Of stored frames (height, width); the width a multiple of 64.
        rows (tuple[float, float]): Which part of the video's height is kept, shares from the top.
        seconds (float): Of a segment.
        silence (float): dB below the scene's mean power under which a segment counts as silent
            (track 1; the published rule has no number, so this one is ours).
    """
    fps: float = 4.
    flow_steps: int = 2
    size: Tuple[int, int] = (64, 256)
    rows: Tuple[float, float] = (0., 1.)
    seconds: float = 2.
    silence: float = 20.

    def check(self) -> None:
        """Refuses what cannot be converted to.

        Raises:
            MultiSSLError: Names the tool's options.
        """
        if min(self.size) < 1 or self.size[1] % 64 \
                or not 0 <= self.rows[0] < self.rows[1] <= 1 \
                or self.flow_steps < 1 or not self.fps > 0:
            raise MultiSSLError('--size needs a height from 1 on and a width that is a multiple of '
                                '64 (rotations by 45 degrees of strided features), --rows two '
                                'shares from 0 to 1, --fps and --flow-steps something positive')


DEFAULT = Options()
