"""Projections that mmpretrain has none of."""
from .sound_projection import LinearProbe, SoundProjection

__all__ = ['LinearProbe', 'SoundProjection']
