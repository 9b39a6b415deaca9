"""What MMEngine's builder says of a config, for people."""
import re
from traceback import walk_tb
from types import FrameType
from typing import Any, List, Mapping, Optional, Set

from .names import arguments, nearest
from .nested import located

_UNEXPECTED = re.compile(r"got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r'missing \d+ required (?:positional|keyword-only) arguments?: (.+)$')


def fault_of_config(error: BaseException) -> Optional[str]:
    """What of a config could not be built, and where it stands, in one line.

    Args:
        error (BaseException): As caught: its traceback leads to MMEngine's ``build_from_cfg``,
            which knows what the config asks for.

    Returns:
        str | None: None for an error that is none of the config's, such as one of the program.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    builders = [i for i, frame in enumerate(frames) if frame.f_code.co_name == 'build_from_cfg']
    if not builders:
        return None
    known, inside = frames[builders[-1]].f_locals, frames[builders[-1] + 1:]
    cfg = known['cfg']
    if type(cfg).__name__ != 'ConfigDict':  # a dict that the program has made
        return None
    fault = None
    if isinstance(error, KeyError) and not inside:
        fault = _type_fault(str(error), known)
    # The builder itself called, or constructors that hand on what they were given.
    elif isinstance(error, TypeError) and all(
            frame.f_code.co_name in ('__init__', 'get_instance') for frame in inside):
        fault = _argument_fault(str(error), known, called=not inside)
    named = _UNEXPECTED.search(str(error))
    where = _place(cfg, frames, {named[1]} if named else set())
    return f'{where}: {fault}' if fault and where else fault


def _type_fault(said: str, known: Mapping[str, Any]) -> Optional[str]:
    if 'must contain the key "type"' in said:
        return ('an entry of the config has no type, so nothing can be built of it; it has '
                f'{", ".join(map(str, known["cfg"])) or "nothing"}')
    name, registry = known.get('obj_type'), known['registry']
    if 'registry' not in said or not isinstance(name, str):
        return None
    scope, dot, bare = name.rpartition('.')
    near = nearest(bare, _registered(registry, scope))
    return f'there is no {name} among the {registry.name}s that are known; ' + (
        f'is it {scope}{dot}{near}?' if near else
        'the package that registers it may have to be named in custom_imports')


def _registered(registry: Any, scope: str) -> Set[str]:
    """Names in a package's registry; without one, by which a registry of MMEngine finds things."""
    known: Set[str] = set()
    above = registry
    while above is not None:
        registry, above = above, above.parent
        known.update(() if scope else registry.module_dict)
    if scope:
        own = registry.children.get(scope, registry)
        known.update(own.module_dict if own.scope == scope else ())
    return known


def _argument_fault(said: str, known: Mapping[str, Any], called: bool) -> Optional[str]:
    cls = known['obj_cls']
    missing = _MISSING.search(said)
    if missing and called:
        return f'{cls.__name__} needs {missing[1]}, which the config does not give'
    found = _UNEXPECTED.search(said)
    if not found or found[1] not in known['cfg']:
        return None
    key, takes = found[1], arguments(cls, {})[0]
    if key in takes:  # so something else in there does not
        return None
    near = nearest(key, takes)
    return f'the config gives {cls.__name__} {key}, which it does not take; ' + (
        f'is it {near}?' if near else f'it takes {", ".join(sorted(takes))}')


def _place(cfg: Mapping, frames: List[FrameType], keys: Set[str]) -> Optional[str]:
    """The dotted key in the whole config of what could not be built, if it stands there.

    Args:
        cfg (dict): What was to be built.
        frames (list[frame]): Of the traceback; one of them has the whole config.
        keys (set[str]): Those that are at fault.
    """
    configs: List[Any] = [frame.f_locals.get('cfg') for frame in frames]
    root: Any = next((found for found in configs if type(found).__name__ == 'Config'), {})
    # MMEngine and others add to what they build, so an entry may have had less than what is here.
    best, least = None, 0
    for key in root:
        for where, node in located(root[key], key):
            if len(node) > least and node.keys() >= keys and node.get('type') == cfg.get('type') \
                    and all(name in cfg and cfg[name] == node[name] for name in node):
                best, least = where, len(node)
    return best
