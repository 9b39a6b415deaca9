"""Multi-SSL for OpenMMLab: one encoder, several self-supervised tasks.

``custom_imports = dict(imports=['multissl_mm'])`` in any MMEngine config makes every
module of this package available under the scope ``multissl_mm.``.
"""
from . import compat, registry  # noqa: F401  (creates the scopes)
from .version import __version__

__all__ = ['__version__']
