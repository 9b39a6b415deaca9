from .amp_optim_wrapper import AmpOptimWrapper
from .plain_norms import PlainNormsConstructor
from .warm_restart_lr import WarmRestartLR

__all__ = ['AmpOptimWrapper', 'PlainNormsConstructor', 'WarmRestartLR']
