"""What MMEngine's builder says of a config, for people."""
import re
from traceback import walk_tb
from typing import Optional

from .names import arguments, nearest

_UNEXPECTED = re.compile(r"got an unexpected keyword argument '(\w+)'")


def fault_of_config(error: BaseException) -> Optional[str]:
    """What of a config could not be built, in one line.

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
    if isinstance(error, KeyError) and 'must contain the key "type"' in str(error):
        return ('an entry of the config has no type, so nothing can be built of it; it has '
                f'{", ".join(map(str, cfg)) or "nothing"}')
    found = _UNEXPECTED.search(str(error)) if isinstance(error, TypeError) else None
    # The builder itself called, or constructors that hand on what they were given.
    if not found or found[1] not in cfg or any(
            frame.f_code.co_name not in ('__init__', 'get_instance') for frame in inside):
        return None
    cls, key = known['obj_cls'], found[1]
    takes = arguments(cls, {})[0]
    if key in takes:  # so something else in there does not
        return None
    near = nearest(key, takes)
    return f'the config gives {cls.__name__} {key}, which it does not take; ' + (
        f'is it {near}?' if near else f'it takes {", ".join(sorted(takes))}')
