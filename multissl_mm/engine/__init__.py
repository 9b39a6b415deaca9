from .amp_optim_wrapper import AmpOptimWrapper
from .checkpoint_hook import AtomicCheckpointHook
from .epoch_seed_hook import EpochSeedHook
from .expert_latents_hook import ExpertLatentsHook
from .forgetting_hook import ForgettingHook
from .gradient_hook import GradientHook
from .il_stage_hook import ILStageHook
from .knn_hook import KNNHook
from .loss_guard_hook import LossGuardHook
from .strict_load_hook import StrictLoadHook
from .warm_restart_lr import WarmRestartLR

__all__ = [
    'AmpOptimWrapper', 'AtomicCheckpointHook', 'EpochSeedHook', 'ExpertLatentsHook',
    'ForgettingHook', 'GradientHook', 'ILStageHook', 'KNNHook', 'LossGuardHook', 'StrictLoadHook',
    'WarmRestartLR'
]
