"""Who is meant by "the tenant": roles as mentions, where a key or a bracket says who has them."""

import re
from collections.abc import Iterator

from detectors.cast import UNKNOWN, Cast, Mention
from detectors.layout import Layout
from detectors.letters import OWNS

ROLE = re.compile(r"[^\W\d_]{4,}")
FIELDS = frozenset(
    "phone mobile telephone mail email e-mail address number date birth born account name home work line full first"
    " last contact social security from note notes with".split()
)
"""Words of keys that say what a value is and not whose."""
_USUAL = frozenset(
    "customer client patient caller tenant landlord candidate applicant reporter buyer seller employee employer"
    " plaintiff defendant former latter witness visitor guest sender recipient".split()
)
_TITLED = re.compile(r"\s*[(,]\s*(?:the |a )?([^\W\d_]{4,})\s*[),]")
_IN_BRACKETS = re.compile(r"\((?:the |a )?([^\W\d_]{4,})\)")
_KEY = re.compile(r"([^:.;,]{1,30})[:=]\s*[\"']?$")
_FIELD = re.compile(rf" (?i:{'|'.join(sorted(FIELDS))})\b")
_BEFORE = re.compile(r"(?i)(?:\b(?:the|our|this|of|for)\s+|[:;,.]\s+)$")
_ONE_OF = re.compile(
    r"\b[Tt]he (?:first|second|third|other)"
    r"(?=['\u2019,.;:]| (?:one|is|was|has|can|still|lives|goes|at|under)\b)"
)


def roles(layout: Layout, cast: Cast) -> list[Mention]:
    """Mentions by role, those of the keys themselves aside. UNKNOWN where the text gives a usual
    role to nobody or to several; where the subject alone is named, those are left out.
    """
    whose, lonely = _given(layout, cast), cast.names_nobody_else()
    found = [Mention(*m.span(), UNKNOWN, pronoun=True) for m in _ONE_OF.finditer(layout.text)]
    for match in ROLE.finditer(layout.text):
        role = match.group().lower()
        given = role in whose
        if (given or (role in _USUAL and not lonely)) and _stands_for(layout, cast, match, whose):
            people = whose.get(role, set())
            person = min(people) if len(people) == 1 else UNKNOWN
            found.append(Mention(*match.span(), person, pronoun=True))
    return found


def _stands_for(
    layout: Layout, cast: Cast, match: re.Match[str], whose: dict[str, set[int]]
) -> bool:
    """Whether a word means a person: not a part of "patient number" or "patient Ann Berg"."""
    text, start, end = layout.text, match.start(), match.end()
    beside = cast.mentions.touching(start, end + 2)
    if any(m.start <= start or not text[end : m.start].strip() for m in beside):
        return False
    if _FIELD.match(text, end):
        begin = layout.lines[layout.line_at(start)].start
        words = text[begin:start].lower().split() if start - begin < 40 else [""]
        return match.group().lower() in whose and (
            all(word in whose for word in words)
            or bool(_BEFORE.search(text, max(0, start - 8), start))
        )
    before = _BEFORE.search(text, max(0, start - 8), start)
    return before is not None or OWNS.match(text, end) is not None


def _given(layout: Layout, cast: Cast) -> dict[str, set[int]]:
    """Whom the text gives each role."""
    whose: dict[str, set[int]] = {}
    for mention in cast.mentions.all:
        for role in _said(layout, mention):
            if role not in FIELDS:
                whose.setdefault(role, set()).add(mention.person)
    return whose


def _said(layout: Layout, mention: Mention) -> Iterator[str]:
    """The roles in "Tenant: Ann Berg", "Ann Berg (tenant)", "Ann Berg, 7 Mill Road (tenant)"."""
    text = layout.text
    start = layout.lines[layout.line_at(mention.start)].start
    key = _KEY.search(text[max(start, mention.start - 40) : mention.start])
    if key is not None:
        yield from (word.lower() for word in ROLE.findall(key[1]))
    title = _TITLED.match(text, mention.end)
    if title is not None:
        yield title[1].lower()
    end = layout.sentences[layout.sentence_at(mention.start)][1]
    title = _IN_BRACKETS.search(text, mention.end, min(end, mention.end + 80))
    if title is not None:
        yield title[1].lower()
