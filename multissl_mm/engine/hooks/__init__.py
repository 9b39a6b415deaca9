from .checkpoint import AtomicCheckpointHook
from .deferred_info import DeferredInfoHook
from .epoch_seed import EpochSeedHook
from .expert_latents import ExpertLatentsHook
from .forgetting import ForgettingHook
from .gradient import GradientHook
from .heartbeat import HeartbeatHook
from .il_stage import ILStageHook
from .interruption import InterruptionHook
from .knn import KNNHook
from .left_out import LeftOutHook
from .loss_guard import LossGuardHook
from .strict_load import StrictLoadHook

__all__ = ['AtomicCheckpointHook', 'DeferredInfoHook', 'EpochSeedHook', 'ExpertLatentsHook',
           'ForgettingHook', 'GradientHook', 'HeartbeatHook', 'ILStageHook', 'InterruptionHook',
           'KNNHook', 'LeftOutHook', 'LossGuardHook', 'StrictLoadHook']
