from .algorithms import *  # noqa: F401,F403
from .backbones import *  # noqa: F401,F403
from .distillation import FeatureDistillation, PredictiveDistillation, ResponseDistillation  # noqa: F401
from .downstream import *  # noqa: F401,F403
from .heads import *  # noqa: F401,F403
from .momentum import MomentumEncoder  # noqa: F401
from .norm import BNXd  # noqa: F401
from .pretext import *  # noqa: F401,F403
from .queue import NegativeQueue  # noqa: F401
from .sound_preprocessor import SoundPreprocessor  # noqa: F401
