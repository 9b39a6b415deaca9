from .queue_contrast_head import QueueContrastHead, info_nce, queue_softmax, similarity_kl
from .sound_projection import SoundProjection

__all__ = ['QueueContrastHead', 'SoundProjection', 'info_nce', 'queue_softmax', 'similarity_kl']
