"""Text that may identify somebody: it travels, but cannot be printed, formatted, pickled or logged."""

import hmac
from typing import NoReturn


class Secret:
    """A string that only `reveal` gives back.

    `repr` is a constant, so that a traceback or a debugger shows nothing. `str`, `format`, `pickle` and `copy`
    raise `TypeError`: reaching them is a programming error, and an error that carries no text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Each call is a place where personal data leaves its wrapper: keep them few."""
        return self._text

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._text.encode("utf-8", "surrogatepass"),
            other._text.encode("utf-8", "surrogatepass"),
        )

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret(...)"

    def __str__(self) -> NoReturn:
        raise TypeError(
            "a Secret cannot be turned into text; call reveal() where the text may leave"
        )

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a Secret cannot be formatted; call reveal() where the text may leave")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied; it never crosses a process border")
