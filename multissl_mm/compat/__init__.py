"""Names of packages that OpenMMLab has retired, for the configs that still use them."""
from .mmselfsup import add_scope

# MMSelfSup 1.0 is built on MMClassification 1.0 and names its dataset and losses `mmcls.*`.
for _scope in ('mmcls', 'mmselfsup'):
    add_scope(_scope)

__all__ = ['add_scope']
