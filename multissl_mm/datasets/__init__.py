from .keyed import KeyedDataset, KeyedSampler, ViewKey

__all__ = ['KeyedDataset', 'KeyedSampler', 'ViewKey']
