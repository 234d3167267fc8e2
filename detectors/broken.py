"""A detector that breaks is an error, never "nothing found", and its own words stay inside."""

from collections.abc import Callable
from typing import TypeVar

from domain.errors import Code, DetectionFailed, ErasureError

Answer = TypeVar("Answer")


def or_broken(ask: Callable[[], Answer], *, place: str, remedy: str, request_ref: str) -> Answer:
    """What `ask` returns. What it raises that is not ours leaves as `DetectionFailed` without text and chain."""
    try:
        return ask()
    except ErasureError:
        raise
    except Exception:  # noqa: BLE001 - its message may quote the text
        raise DetectionFailed(
            Code.DETECTOR_BROKE, place=place, remedy=remedy, request_ref=request_ref
        ) from None
