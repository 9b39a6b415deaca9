from .amp_optim_wrapper import AmpOptimWrapper
from .warm_restart_lr import WarmRestartLR

__all__ = ['AmpOptimWrapper', 'WarmRestartLR']
