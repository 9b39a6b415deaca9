"""From an entry of a config's ``tasks`` to a task."""
from typing import Tuple

from ...errors import MultiSSLError
from ...registry import MODELS
from .base import PretextTask


def build_task(index: int, cfg: dict) -> Tuple[str, PretextTask]:
    """Name and module of one entry of ``tasks``.

    Raises:
        MultiSSLError: If it has no name or its type is no pretext task; names the config key.
    """
    cfg = dict(cfg)
    name, kind = cfg.pop('name', None), cfg.get('type')
    if not name or '.' in name:
        raise MultiSSLError(f'model.tasks.{index} ({kind}) needs a name without dots, e.g. '
                            "name='mocov2'")
    try:
        found = kind if isinstance(kind, type) else MODELS.get(str(kind))
    except RuntimeError:  # MMEngine's word for a scope that cannot be imported
        found = None
    if found is None or not issubclass(found, PretextTask):
        known = sorted(n for n, c in MODELS.module_dict.items() if issubclass(c, PretextTask))
        raise MultiSSLError(f"model.tasks.{index}.type: '{kind}' is no pretext task; known in "
                            f'multissl_mm are {", ".join(known)}')
    return name, MODELS.build(cfg)
