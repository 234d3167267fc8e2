"""What a language model answered, checked by hand: a server may ignore the schema, and a document may dictate."""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from detectors.annotation import Judgement, MalformedError, Part
from detectors.prompts import CATEGORIES
from domain.records import SpanKind

_KINDS = {
    "name": SpanKind.PERSON,
    "email": SpanKind.EMAIL,
    "phone": SpanKind.PHONE,
    "address": SpanKind.ADDRESS,
    "date": SpanKind.DATE,
    "number": SpanKind.NUMBER,
}
_WRAPPED = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)
_MOST = 256  # occurrences in one answer; a window of a document has no more private parts
_FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda part: unicodedata.normalize("NFC", part),
    lambda part: unicodedata.normalize("NFD", part),
)


def parts(content: str, text: str) -> list[Part]:
    """Every place in the text of every part named, sorted, without repeats.

    Raises `MalformedError` when the answer is of another form, or names what is not in the text.
    """
    answer = _object(content, {"parts"})["parts"]
    if not isinstance(answer, list):
        raise MalformedError("parts is not a list")
    found: set[Part] = set()
    for part in answer:
        if not isinstance(part, str) or not part.strip():
            raise MalformedError("a part is not a text")
        found.update(_places(part, text))
        if len(found) > _MOST:
            raise MalformedError(f"more than {_MOST} parts")
    return sorted(found)


def judgement(content: str) -> Judgement:
    """The judgement that was answered. Raises `MalformedError` for any other form."""
    answer = _object(content, {"about", "private", "category", "score"})
    about, private, score = answer["about"], answer["private"], answer["score"]
    if not isinstance(about, bool) or not isinstance(private, bool):
        raise MalformedError("about or private is neither true nor false")
    if answer["category"] not in CATEGORIES:
        raise MalformedError("a category that there is not")
    if not isinstance(score, int) or isinstance(score, bool) or not 1 <= score <= 5:
        raise MalformedError("a score that there is not")
    kind = _KINDS.get(answer["category"], SpanKind.OTHER)
    return Judgement(about and private, kind, score / 5)


def _object(content: str, keys: set[str]) -> dict[str, Any]:
    """The JSON object with exactly these keys."""
    wrapped = _WRAPPED.fullmatch(content)
    try:
        answer = json.loads(
            wrapped[1] if wrapped else content,
            object_pairs_hook=_once_each,
            parse_constant=_no_number,
        )
    except (ValueError, RecursionError):
        raise MalformedError("not JSON") from None
    if not isinstance(answer, dict) or set(answer) != keys:
        raise MalformedError("other keys than asked for")
    return answer


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _no_number(_: str) -> None:
    raise ValueError("not a number")


def _places(part: str, text: str) -> list[Part]:
    """Where the part stands as words of its own; inside of words only where it stands nowhere else.

    Runs of white space count as one, and composed letters as decomposed ones: models rewrite both.
    """
    for form in _FORMS:
        words = r"\s+".join(re.escape(word) for word in form(part).split())
        found = [match.span() for match in re.finditer(words, text)]
        if found:
            return [place for place in found if _is_whole(text, *place)] or found
    raise MalformedError("a part that is not in the text")


def _is_whole(text: str, start: int, end: int) -> bool:
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not before and not after
