"""What contrastive tasks share: a queue of keys, momentum copies, shuffled batches."""
from .momentum import MomentumEncoder
from .queue import NegativeQueue
from .shuffle_bn import shuffle, unshuffle
from .unit import unit

__all__ = ['MomentumEncoder', 'NegativeQueue', 'shuffle', 'unit', 'unshuffle']
