"""Who is named in a text, and where: the subject, other people, and parts of their names."""

import re
from collections import Counter
from collections.abc import Sequence

from detectors.cast import SUBJECT, TITLES, UNKNOWN, WORD, Cast, Mention, words_of
from detectors.folding import fold
from detectors.layout import Layout, Place
from detectors.letters import CAPITALISED, UPPER
from detectors.lists import add_by_likeness, somebody
from detectors.people import STARTERS
from detectors.roles import FIELDS
from detectors.shapes import SURE
from domain.records import Owner, SensitiveSpan, SpanKind

_GENDERED = re.compile(r"\b(?:(?P<woman>Ms|Mrs|Miss|Frau|Mme)|(?P<man>Mr|Herr|Sir))\b\.?\s$")
_TITLED = re.compile(rf"\b(?:Mr|Ms|Mrs|Mx|Miss|Dr|Herr|Frau)\b\.? ({CAPITALISED})")
_JOINT = re.compile(rf"(?:,\s*(?:and |or )?|\s+(?:and|or|&)\s+|;\s*){TITLES}")
_THING = re.compile(
    r"\b(?:Line|Services?|Desk|Team|Transport|Support|Office|Group|Ltd|Inc|GmbH|Bank|Clinic|Centre"
    r"|Center|Agency|Contact|Notes?)$"
)
"""Last words of what looks like a name and is a house, a desk or a key."""
_SHORTEST = 3  # letters of a part that counts when it stands alone
_POSSESSIVE = ("'s", "\u2019s")
_RUN = re.compile(rf"([{UPPER}][^\W\d_]+(?:['\u2019-][^\W\d_]+)*) $")
_FOLLOWING = re.compile(rf" ({CAPITALISED})")
_REVERSED = re.compile(rf", ({CAPITALISED})(?=\n|$| ?[(;:|])")
_SPLIT = re.compile(
    rf"(?i:first|given)[\w ]*[\"']?\s*[:=]\s*[\"']?({CAPITALISED})[\"']?\s*[,;]?\s*[\"']?"
    rf"(?i:last|family|sur)[\w ]*[\"']?\s*[:=]\s*[\"']?([^\"'\n,;]+)"
)
_SPEAKER = re.compile(
    r"(?m)^(?P<time>\[[^\]\n]*\] ?|[\d:.]+ )?(?P<open><?)(?P<who>[\w.-]{2,20})(?P<close>>|:) "
)


def cast(layout: Layout, own: Sequence[SensitiveSpan], found: Sequence[SensitiveSpan]) -> Cast:
    """The people by the subject's spans and the names found.

    1. The subject's names. 2. The other names; those that share their words are one person's. 3.
    Parts of names by themselves; one that several share is UNKNOWN's. 4. What stands where others
    have a name, in rows, lines and records that are alike (`detectors.lists`).
    """
    text, people = layout.text, Cast()
    mails = [(f.start, f.end) for f in found if f.kind is SpanKind.EMAIL]
    mine = [s for s in own if s.kind is SpanKind.PERSON]
    whole = [s for s in mine if not _is_part(text, s) and not _inside(s, mails)]
    if any(s.owner is Owner.SUBJECT for s in own):  # 1
        sure = [s for s in mine if s.owner is Owner.SUBJECT]
        words = {w for s in sure for w in words_of(text[s.start : s.end])}
        people.add(words, [(s.start, s.end) for s in whole if s in sure], Owner.SUBJECT)
    names = [s for s in found if s.kind is SpanKind.PERSON]  # 2
    for span in sorted(names, key=lambda s: (s.start - s.end, s)):
        if not _THING.search(text, span.start, span.end):
            _add(people, text, span)
    things = [s for s in (*own, *found) if s.kind is not SpanKind.PERSON]
    _add_titled(people, text, things)
    _believe(people, layout)
    for span in whole:  # 3
        if span.owner is not Owner.SUBJECT:
            fits = people.having(words_of(text[span.start : span.end]))
            person = SUBJECT if fits == {SUBJECT} else UNKNOWN
            people.mentions.add(Mention(span.start, span.end, person))
    for match in _SPLIT.finditer(text):
        somebody(people, text, [match.span(1), match.span(2)])
    _add_parts(people, text, [*things, *names])
    _add_speakers(people, text)
    add_by_likeness(people, layout, things)  # 4
    for mention in people.mentions.all:
        title = _GENDERED.search(text, max(0, mention.start - 8), mention.start)
        if title is not None and title.lastgroup and mention.person != UNKNOWN:
            people.genders[mention.person] = title.lastgroup
    return people


def _is_part(text: str, span: SensitiveSpan) -> bool:
    """Whether a span is one word of a name, which may be somebody else's too."""
    return text[span.start] in UPPER and len(words_of(text[span.start : span.end])) == 1


def _inside(span: SensitiveSpan, places: Sequence[Place]) -> bool:
    return any(a <= span.start and span.end <= b for a, b in places)


def _add(people: Cast, text: str, span: SensitiveSpan) -> None:
    """One more name; somebody's who is there already where all of its words are theirs."""
    words = words_of(text[span.start : span.end])
    owner = Owner.OTHER if span.confidence >= SURE else Owner.UNCERTAIN
    same = people.having(words)
    if not same:
        people.add(words, [(span.start, span.end)], owner)
        return
    person = min(same) if len(same) == 1 else UNKNOWN
    people.mentions.add(Mention(span.start, span.end, person))
    if owner is Owner.OTHER and person > SUBJECT:
        people.owners[person] = owner


def _add_titled(people: Cast, text: str, things: Sequence[SensitiveSpan]) -> None:
    """Family names behind a form of address, where nobody is known to have them."""
    for match in _TITLED.finditer(text):
        words, at = words_of(match[1]), match.start(1)
        taken = any(thing.start <= at < thing.end for thing in things)
        free = not taken and not people.mentions.touching(*match.span(1))
        if words and free and not people.fitting(words):
            people.add(words, [match.span(1)], Owner.OTHER)


def _believe(people: Cast, layout: Layout) -> None:
    """Names by their looks alone are people where something says so: a sure name stands beside them
    in a list or between the same marks, a part of them comes again, or an e-mail address has them.
    """
    if not people.doubted:
        return
    text, mentions = layout.text, people.mentions.all
    signs = [_marks(layout, mention) for mention in mentions]
    again = Counter(fold(w).text for w in WORD.findall(text) if w[0].isupper())
    locals_ = [fold(local).text for local in re.findall(r"([\w.+-]+)@", text)]
    mailed = {frozenset(words) for words in map(people.fitting, map(_pieces, locals_)) if words}
    known = {person for persons in mailed for person in persons}
    doubted, changed = people.doubted, True
    while changed:
        changed = False
        trusted = {s for m, s in zip(mentions, signs, strict=True) if m.person not in doubted} - {
            ""
        }
        for number, mention in enumerate(mentions):
            if mention.person not in doubted:
                continue
            beside = mentions[max(0, number - 1) : number] + mentions[number + 1 : number + 2]
            words = WORD.findall(text[mention.start : mention.end])
            if (
                signs[number] in trusted
                or mention.person in known
                or any(again[fold(w).text] > 1 for w in words if len(w) >= _SHORTEST)
                or any(m.person not in doubted and _joined(text, m, mention) for m in beside)
            ):
                people.owners[mention.person] = Owner.OTHER
                doubted, changed = doubted - {mention.person}, True


def _pieces(local: str) -> set[str]:
    """What in the first part of an e-mail address may be a family name: each of its words, and the
    ends of those that are long.
    """
    words = re.findall(r"[^\W\d_]+", local)
    return {word[cut:] for word in words for cut in range(len(word) - 3)} | set(words)


def _joined(text: str, one: Mention, two: Mention) -> bool:
    return bool(_JOINT.fullmatch(text, min(one.end, two.end), max(one.start, two.start)))


def _marks(layout: Layout, mention: Mention) -> str:
    """The marks around a name where lines are alike: a key, a bullet, a dash, a cell; empty in a
    sentence.
    """
    line = layout.lines[layout.line_at(mention.start)]
    before = re.sub(r"\d+", "0", layout.text[max(line.start, mention.start - 9) : mention.start])
    after = layout.text[mention.end : min(line.end, mention.end + 2)].strip()
    if before.strip():
        marked = before.rstrip()[-1] in ":=-\u2013\u2014|>\"'#;\t" or "\t" in before
    else:
        marked = line.bullet or not after or after[0] in ":,;(|<-\u2013\u2014\t"
    return f"{'*' if line.bullet else ''}{before[-4:]}@{after}" if marked else ""


def _add_parts(people: Cast, text: str, taken: Sequence[SensitiveSpan]) -> None:
    """Given and family names by themselves, outside of everything found: whose they are, if one
    person's. In a longer name they are somebody else's.
    """
    alone: list[tuple[Place, str]] = []
    for match in WORD.finditer(text):
        word = match.group()
        word = word[:-2] if word.endswith(_POSSESSIVE) else word
        folded = word.lower() if word.isascii() else fold(word).text
        if len(word) < _SHORTEST or not people.knows(folded):
            continue
        place = (match.start(), match.start() + len(word))
        covered = any(span.start <= place[0] < span.end for span in taken)
        if covered or people.mentions.touching(*place):
            continue
        if word[0] not in UPPER and not _is_marked(text, match):
            continue
        longer = _longer(people, text, *place)
        if longer is None:
            alone.append((place, folded))
        else:
            people.add(words_of(text[slice(*longer)]), [longer], Owner.OTHER)
    for place, word in alone:
        fits = people.fitting([word])
        people.mentions.add(Mention(*place, min(fits) if len(fits) == 1 else UNKNOWN))


def _is_marked(text: str, match: re.Match[str]) -> bool:
    """Whether a word in lower case stands as the name of who speaks, or as a key."""
    before = text[max(0, match.start() - 1) : match.start()]
    return before in {"<", "\n", ""} and text[match.end() : match.end() + 1] in {">", ":"}


def _longer(people: Cast, text: str, start: int, end: int) -> Place | None:
    """The name around a word, "ANN *BERG*" or "*Berg*, Ann", where its other word is nobody's."""
    before = _RUN.search(text, max(0, start - 40), start)
    after = _FOLLOWING.match(text, end) or _REVERSED.match(text, end)
    for other in (before, after):
        if other is None or other[1].capitalize() in STARTERS:
            continue
        words = words_of(other[1])
        if words and not people.fitting(words):
            return min(start, other.start(1)), max(end, other.end(1))
    return None


def _add_speakers(people: Cast, text: str) -> None:
    """Those who speak in a chat with somebody known, by whatever name: in angle brackets, or where
    somebody speaks again, in lines that begin as theirs.
    """
    turns = list(_SPEAKER.finditer(text))
    chat = any(turn["open"] for turn in turns) or len({t["who"] for t in turns}) < len(turns)
    known = {_style(turn) for turn in turns if people.fitting(words_of(turn["who"]))}
    places: dict[str, list[Place]] = {}
    for turn in turns if chat else ():
        if _style(turn) in known and turn["who"].lower() not in FIELDS:
            places.setdefault(turn["who"], []).append(turn.span("who"))
    for who, spans in places.items():
        words = words_of(who)
        if words and not people.fitting(words):
            people.add(words, spans, Owner.OTHER)


def _style(turn: re.Match[str]) -> tuple[bool, str, str]:
    return turn["time"] is None, turn["open"], turn["close"]
