"""Many dates looked for at once: a few patterns for everything that reads like one of them, and a key
for each.
"""

import re
from collections.abc import Iterable
from datetime import date

from detectors.dates import MONTHS
from detectors.forms import Key

_DAY = "[0-3]?[0-9](?:st|nd|rd|th|er|o)?"
_TWO = "[0-9]{1,2}"
_OF = "(?:of +|de +|den +)?"
_END = "[ t]"
_TOKEN = re.compile(rb"[0-9]+|[a-z\x80-\xff]+")
_FILLERS = frozenset(word.encode() for word in "st nd rd th er o of de den the t 年 月 日".split())
_NAMES = {name.encode(): -number for number, names in enumerate(MONTHS, start=1) for name in names}
_COMPACT = 1_010_000  # 01010000, the least number that can be a whole date
_WINDOW = 48  # bytes before the end of a date in which it usually lies


def patterns(days: Iterable[date]) -> list[str]:
    """Regular expressions over `folding.words` that everything satisfies which `dates.date_forms`
    of one of these days finds; few or many days make no difference to their number.
    """
    known = sorted(set(days))
    if not known:
        return []
    full = _either({f"{day.year:04d}" for day in known})
    year = _either({n for day in known for n in (f"{day.year:04d}", f"{day.year % 100:02d}")})
    month = _either({name for day in known for name in MONTHS[day.month - 1]})
    return [
        f" {_DAY} +{_OF}{month} *{_OF}{year}{_END}",
        f" {month} *(?:the +)?{_DAY} +{year}{_END}",
        f" {full} *{month} *{_DAY} ",
        f" {full} {{1,3}}{_TWO} {{1,3}}{_TWO}{_END}",
        f" {full} ?年 ?{_TWO} ?月 ?{_TWO}",
        f" {_TWO} {{1,3}}{_TWO} {{1,4}}{year}{_END}",
        f" (?:{full}[0-9]{{4}}|[0-9]{{4}}{full}){_END}",
    ]


def key_before(words: bytes, start: int, end: int) -> Key | None:
    """The key of the date that ends at `end` of a text that starts at `start`; None for no date."""
    near = words.find(b" ", max(start, end - _WINDOW), end)  # never inside a number
    found = _key(words[near:end])
    return found or _key(words[start:end])  # a gap as wide as a page


def _key(window: bytes) -> Key | None:
    numbers: list[int] = []
    for token in _TOKEN.findall(window):
        if token.isdigit():
            numbers.append(int(token))
        elif token in _NAMES:
            numbers.append(_NAMES[token])
        elif token not in _FILLERS:
            numbers.clear()
    if numbers and numbers[-1] >= _COMPACT:
        return (numbers[-1],)
    return tuple(numbers[-3:]) if len(numbers) >= 3 else None


def _either(options: set[str]) -> str:
    return f"(?:{'|'.join(sorted(options, key=lambda o: (-len(o), o)))})"
