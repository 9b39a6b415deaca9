"""What MMEngine's builder says of a config, for people."""
import re
from traceback import walk_tb
from types import FrameType
from typing import Any, List, Mapping, Optional, Set

from .names import arguments, nearest, or_unregistered
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
    said, fault = str(error), None
    unexpected = _UNEXPECTED.search(said)
    key = unexpected[1] if unexpected else None
    if isinstance(error, KeyError) and not inside:
        fault = _type_fault(said, known)
    # The builder itself called, or constructors that hand on what they were given.
    elif isinstance(error, TypeError) and all(
            frame.f_code.co_name in ('__init__', 'get_instance') for frame in inside):
        fault = _argument_fault(said, known, key, called=not inside)
    where = _place(cfg, frames, key) if fault else None
    return f'{where}: {fault}' if where else fault


def _type_fault(said: str, known: Mapping[str, Any]) -> Optional[str]:
    if 'must contain the key "type"' in said:
        return ('an entry of the config has no type, so nothing can be built of it; it has '
                f'{", ".join(map(str, known["cfg"])) or "nothing"}')
    name, registry = known.get('obj_type'), known['registry']
    if 'registry' not in said or not isinstance(name, str):
        return None
    scope, dot, bare = name.rpartition('.')
    near = nearest(bare, _registered(registry, scope))
    return (f'there is no {name} among the {registry.name}s that are known; '
            f'{or_unregistered(near and f"{scope}{dot}{near}")}')


def _registered(registry: Any, scope: str) -> Set[str]:
    """Names in a package's registry; without one, by which a registry of MMEngine finds things."""
    above = [registry]
    while above[-1].parent is not None:
        above.append(above[-1].parent)
    if scope:
        own = above[-1].children.get(scope, above[-1])
        return set(own.module_dict) if own.scope == scope else set()
    return {name for each in above for name in each.module_dict}


def _argument_fault(said: str, known: Mapping[str, Any], key: Optional[str], called: bool
                    ) -> Optional[str]:
    cls = known['obj_cls']
    missing = _MISSING.search(said)
    if missing and called:
        return f'{cls.__name__} needs {missing[1]}, which the config does not give'
    takes = arguments(cls, {})[0]
    # If the class takes it, something else in there does not.
    if key is None or key not in known['cfg'] or key in takes:
        return None
    near = nearest(key, takes)
    return f'the config gives {cls.__name__} {key}, which it does not take; ' + (
        f'is it {near}?' if near else f'it takes {", ".join(sorted(takes))}')


def _place(cfg: Mapping, frames: List[FrameType], key: Optional[str]) -> Optional[str]:
    """The dotted key in the whole config of what could not be built, if it stands there.

    Args:
        cfg (dict): What was to be built.
        frames (list[frame]): Of the traceback; one of them has the whole config.
        key (str, optional): That is at fault, if one is.
    """
    configs: List[Any] = [frame.f_locals.get('cfg') for frame in frames]
    root: Any = next((found for found in configs if type(found).__name__ == 'Config'), {})
    # MMEngine and others add to what they build, so an entry may have had less than what is here.
    best, least = None, 0
    for entry in root:
        for where, node in located(root[entry], entry):
            if len(node) > least and (key is None or key in node) and \
                    node.get('type') == cfg.get('type') and \
                    all(name in cfg and cfg[name] == node[name] for name in node):
                best, least = where, len(node)
    return best
