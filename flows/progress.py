"""How far a run is, for whoever watches: a step's name and two numbers, never a text."""

from collections.abc import Callable
from typing import TypeAlias

Sink: TypeAlias = Callable[[str, int, int], None]

_sinks: list[Sink] = []


def watch(sink: Sink) -> Callable[[], None]:
    """Tell `sink` of every advance in this process; call the result to stop."""
    _sinks.append(sink)
    return lambda: _sinks.remove(sink)


def advance(step: str, done: int = 0, total: int = 0) -> None:
    """A step has come to `done` of `total` (0: unknown)."""
    for sink in _sinks:
        sink(step, done, total)
