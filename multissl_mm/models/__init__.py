from .algorithms import *  # noqa: F401,F403
from .backbones import *  # noqa: F401,F403
from .contrast import MomentumEncoder, NegativeQueue  # noqa: F401
from .downstream import *  # noqa: F401,F403
from .heads import *  # noqa: F401,F403
from .necks import *  # noqa: F401,F403
from .norm import BNXd  # noqa: F401
from .pretext import *  # noqa: F401,F403
from .sound_preprocessor import SoundPreprocessor  # noqa: F401
from .view_preprocessor import ViewPreprocessor  # noqa: F401
