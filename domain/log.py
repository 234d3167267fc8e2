"""One place every log line passes: ids, enums and numbers go through, anything else is refused."""

import json
import logging
import re

_FIELDS = frozenset(
    {
        "request",
        "corpus",
        "model",
        "method",
        "attack",
        "detector",
        "status",
        "outcome",
        "event",
        "code",
        "step",
        "count",
        "documents",
        "spans",
        "candidates",
        "seconds",
        "value",
        "number",
        "version",
        "sha256",
        "total",
    }
)
_TOKEN = re.compile(r"[A-Za-z0-9_.:-]{0,80}")


def log(event: str, **fields: str | float) -> None:
    """Log one event as a JSON line.

    Raises `ValueError` for a field that is not on the list, for a string that is not a plain token, and for anything
    that is neither a string nor a number: text from data has no way in.
    """
    if not _TOKEN.fullmatch(event):
        raise ValueError("the name of a log event must be a plain token")
    for name, value in fields.items():
        if name not in _FIELDS:
            raise ValueError(f"log field {name} is not on the list in domain/log.py")
        plain = (
            _TOKEN.fullmatch(value) if isinstance(value, str) else isinstance(value, int | float)
        )
        if not plain:
            raise ValueError(f"log field {name} must be an id, an enum or a number")
    logging.getLogger("lethe").info(json.dumps({"event": event, **fields}, sort_keys=True))
