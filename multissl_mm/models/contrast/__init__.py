"""What contrastive tasks share: a queue of keys, momentum copies, shuffled batches."""
from .batch import batch_info_nce, gathered
from .momentum import MomentumEncoder
from .queue import NegativeQueue
from .shuffle_bn import shuffle, unshuffle
from .unit import unit

__all__ = ['MomentumEncoder', 'NegativeQueue', 'batch_info_nce', 'gathered', 'shuffle', 'unit',
           'unshuffle']
