"""Walks through nested dicts and lists, such as a config."""
from typing import Any, Iterable, Iterator, Tuple


def located(node: object, where: str) -> Iterator[Tuple[str, dict]]:
    """All dicts of a config, however they are nested, with their dotted keys from ``where`` on."""
    if isinstance(node, dict):
        yield where, node
    children: Iterable[Tuple[Any, Any]] = list(node.items()) if isinstance(node, dict) else \
        enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, child in children:
        yield from located(child, f'{where}.{key}')


def dicts(node: object) -> Iterator[dict]:
    """All dicts of a config, however they are nested."""
    return (found for _, found in located(node, ''))
