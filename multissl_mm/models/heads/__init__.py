from .queue_contrast_head import QueueContrastHead, info_nce, queue_softmax, similarity_kl
from .sound_decoders import SemanticDecoder, SpectrogramDecoder
from .sound_projection import LinearProbe, SoundProjection

__all__ = ['LinearProbe', 'QueueContrastHead', 'SemanticDecoder',
           'SoundProjection', 'SpectrogramDecoder', 'info_nce', 'queue_softmax', 'similarity_kl']
