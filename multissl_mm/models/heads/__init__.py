from .queue_contrast_head import QueueContrastHead, info_nce, queue_softmax, similarity_kl
from .sound_decoders import SemanticDecoder, SpectrogramDecoder

__all__ = ['QueueContrastHead', 'SemanticDecoder', 'SpectrogramDecoder', 'info_nce',
           'queue_softmax', 'similarity_kl']
