"""How OmniAudio is converted."""
from typing import NamedTuple, Tuple

from ...errors import MultiSSLError


class Options(NamedTuple):
    """What the arrays of a scene depend on.

    fps: stored frames per second. flow_steps: flow is measured in so many steps from one stored
    frame to the next, on pictures of twice the size. size: of stored frames (height, width). rows:
    which part of the video's height is kept, shares from the top. seconds: of a segment. silence:
    dB below the scene's mean power under which a segment counts as silent (track 1; the published
    rule has no number, so this one is ours).
    """
    fps: float = 4.
    flow_steps: int = 2
    size: Tuple[int, int] = (64, 256)
    rows: Tuple[float, float] = (0., 1.)
    seconds: float = 2.
    silence: float = 20.
