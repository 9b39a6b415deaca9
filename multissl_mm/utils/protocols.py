"""Types of what a thing has, of which it can be asked at run time."""
from typing import Any, Protocol


class _HasAll(type(Protocol)):  # type: ignore[misc]

    def __instancecheck__(cls, thing: Any) -> bool:
        wanted = {name for base in cls.__mro__ if getattr(base, '_is_protocol', False)
                  for name in {**vars(base), **getattr(base, '__annotations__', {})}
                  if not name.startswith('_')}
        return all(hasattr(thing, name) for name in wanted)


class Attributes(Protocol, metaclass=_HasAll):
    """Base of protocols that ask for attributes; ``isinstance`` finds those of modules, too.

    From Python 3.12 on that of ``typing.Protocol`` looks past ``__getattr__``, by which an
    ``nn.Module`` finds its layers and its buffers.
    """
