from .queue_contrast_head import QueueContrastHead, info_nce, queue_softmax, similarity_kl

__all__ = ['QueueContrastHead', 'info_nce', 'queue_softmax', 'similarity_kl']
