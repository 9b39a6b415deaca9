"""Makes Markdown of what is Sphinx's in docstrings, for mkdocstrings (an extension of griffe).

A class named by its role becomes a link to it, wherever it stands in the package. A role that names
nothing is reported, which ``mkdocs build --strict`` takes for an error.
"""
import re
from typing import Any, Dict, Iterator, List, Optional

from griffe import Extension, Module, Object, get_logger

ROLE = re.compile(r':(?:class|func|meth|attr|mod):`(~?)([^`]+)`')
LINK = re.compile(r'`([^`<]+?)\s+<(https?://[^>]+)>`_')
ELSEWHERE = ('mmengine.', 'mmcv.', 'mmpretrain.', 'mmdet.', 'torch.', 'nn.', 'numpy.', 'sklearn.')
logger = get_logger(__name__)


class SphinxRoles(Extension):
    """Rewrites the docstrings of a package once all of it is read."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Called by griffe."""
        objects = list(_walk(pkg))
        by_name: Dict[str, List[Object]] = {}
        for obj in objects:
            by_name.setdefault(obj.name, []).append(obj)
            if obj.is_module:  # documented where it is defined, not where it is passed on
                obj.exports = None
        for obj in objects:
            if obj.docstring:
                text = LINK.sub(r'[\1](\2)', obj.docstring.value)
                text = re.sub('::$', ':', text, flags=re.M)  # before a block of code
                obj.docstring.value = ROLE.sub(
                    lambda match, obj=obj: _link(match, obj, by_name), text)


def _walk(obj: Object) -> Iterator[Object]:
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from _walk(member)


def _link(match: re.Match, obj: Object, by_name: Dict[str, List[Object]]) -> str:
    short, target = match.group(1), match.group(2).lstrip('.')
    shown = f'`{target.split(".")[-1] if short else target}`'
    if target.startswith(ELSEWHERE):
        return shown
    found = _find(obj, target, by_name)
    if found is None:
        logger.warning(f'{obj.filepath}: {match.group()} in {obj.path} names nothing')
    # Attributes and what has no docstring have no place of their own in the reference.
    linked = found is not None and not found.is_attribute and found.has_docstring
    return f'[{shown}][{found.path}]' if linked else shown


def _find(obj: Object, target: str, by_name: Dict[str, List[Object]]) -> Optional[Object]:
    """What a role means: a member of the object or of what holds it, or a name of the package."""
    scope: Optional[Object] = obj
    while scope is not None:
        if target in scope.members and not scope.members[target].is_alias:
            return scope.members[target]
        scope = scope.parent
    *parents, name = target.split('.')
    found = [o for o in by_name.get(name, []) if not parents or parents[-1] in o.path.split('.')]
    return min(found, key=lambda o: (o.is_attribute, len(o.path)), default=None)
