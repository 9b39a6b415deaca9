from .algorithms import *  # noqa: F401,F403
from .heads import *  # noqa: F401,F403
from .momentum import MomentumEncoder  # noqa: F401
from .pretext import *  # noqa: F401,F403
from .queue import NegativeQueue  # noqa: F401
