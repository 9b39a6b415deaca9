from .queue_contrast_head import (
    QueueContrastHead,
    check_distance,
    info_nce,
    info_nce_moved,
    queue_softmax,
    similarity_kl,
    temperature_of,
)
from .sound_decoders import SemanticDecoder, SpectrogramDecoder

__all__ = ['QueueContrastHead', 'SemanticDecoder', 'SpectrogramDecoder', 'check_distance',
           'info_nce', 'info_nce_moved', 'queue_softmax', 'similarity_kl',
           'temperature_of']
