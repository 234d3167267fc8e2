"""Character classes for patterns that must know capitals, which `re` has no shorthand for."""

import re

_RANGES = (range(0x0250), range(0x0370, 0x0530), range(0x1E00, 0x2000))  # Latin, Greek, Cyrillic

UPPER = "".join(chr(c) for block in _RANGES for c in block if chr(c).isupper())
LOWER = "".join(chr(c) for block in _RANGES for c in block if chr(c).islower()) + "\u0300-\u036f"
"""Lower-case letters and the combining marks of decomposed text."""

CAPITALISED = (
    rf"[{UPPER}][\u0300-\u036f]*"
    rf"(?:[{LOWER}]+(?:[{UPPER}][{LOWER}]+)?|['\u2019][{UPPER}][{LOWER}]+)"
    rf"(?:[-'\u2019][{UPPER}{LOWER}][{LOWER}]+)*"
)
"""A capitalised word: Maren, MacArthur, O'Brien, Anne-marie; a possessive 's stays outside."""

OWNS = re.compile(r"['\u2019]s?\b")
"""Behind somebody, before what is theirs."""
