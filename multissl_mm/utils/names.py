"""Names that a config has: of types, and those that people mistype; those in a picture."""
import difflib
import inspect
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Set, Tuple


def nearest(name: str, known: Iterable[str], cutoff: float = .6) -> Optional[str]:
    """The known name that is most like a misspelt one, if any is."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, cutoff)), None)


def told_apart(short: Sequence[str], long: Sequence[str]) -> List[str]:
    """The short names of some things, or where two of these are the same the long ones of all."""
    return list(short if len(set(short)) == len(short) else long)


def bare(kind: Any) -> str:
    """The name of a ``type`` of a config, a class or a text, without its package."""
    return kind.__name__ if inspect.isclass(kind) else str(kind).rpartition('.')[2]


def or_unregistered(near: Optional[str]) -> str:
    """What to do about a ``type`` that no registry has: the nearest one, or an import."""
    return f'is it {near}?' if near else \
        'the package that registers it may have to be named in custom_imports'


def parameters(*functions: Callable) -> Set[str]:
    """Names of all arguments of some functions."""
    return {p.name for function in functions
            for p in inspect.signature(function).parameters.values()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def arguments(cls: Callable, handed_on: Mapping[Any, Callable]) -> Tuple[Set[str], bool]:
    """Names of what a class takes, and what it hands on to its bases.

    Args:
        cls (type): Or a function.
        handed_on (dict): By class the function that takes what a class takes under any name.

    Returns:
        tuple[set[str], bool]: Names, and whether there may be others.
    """
    names: Set[str] = set()
    for base in inspect.getmro(cls) if inspect.isclass(cls) else [cls]:
        init = vars(base).get('__init__') if inspect.isclass(base) else base
        if init is None:
            continue
        names |= parameters(init) - {'self'}
        if base in handed_on:
            return names | parameters(handed_on[base]) - {'self'}, False
        if not any(p.kind == p.VAR_KEYWORD for p in inspect.signature(init).parameters.values()):
            return names, False
    return names, True
