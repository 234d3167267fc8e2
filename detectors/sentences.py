"""Whose it is by its sentence: the last one named or meant before it, or what is said behind it."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from detectors.cast import TITLES, UNKNOWN, Mention
from detectors.letters import OWNS
from detectors.scene import Evidence, Scene
from domain.records import SensitiveSpan

_OPENED = re.compile(r"\s*[(<\[][^()<>\[\]]{0,24}")
_IN_BRACKETS = re.compile(r"\s*[(\[]\s*(?:\w+\s)?")
_SAID_OF = re.compile(
    r",?\s+(?:which |that )?(?:(?:is|was|are|now|still|belongs? to|belonged to|reaches|for|of|goes to|\s)+\s)(?:the )?"
    rf"{TITLES}|\s*(?:=|->|\u2192)\s*"
)
_JOINED = re.compile(rf"(?:,\s*(?:and |or )?|\s+(?:and|or|&|/)\s+){TITLES}")
_USED = re.compile(
    r"(?i)\s+(?:\w+\s){0,2}(?:dial(?:s|led)|call(?:s|ed)?|phone[sd]|text(?:s|ed)|rings?|rang|writes|wrote"
    r"|tried|tries)\s(?:(?:you|me|us|him|her|them|back)\s){0,2}(?:to |on |at )?"
)
"""Between somebody and a number that they used."""
_ACTED = re.compile(
    r"(?i)\s[^.]*\b(?:changed|updated|corrected|noted|entered|sent|forwarded|left|checked|found|got|received|passed"
    r"|handed|copied)\s+(?!to\b)[^.]*\b(?:to|on|at|under|with|into)\s"
)
"""Between somebody and what they did something to, which need not be theirs."""
_RIGHT_BEHIND = re.compile(r"\W{1,4}")
_NOTE = re.compile(r"(?i)\W*(?:notes?|message|reminder|info) (?:for|to) [^:]*:")
_CLAUSE = re.compile(r"\b(?:whom|which|that)\s+$")
DIRECTED = re.compile(
    r"(?i)\b(?:call|ring|phone|dial|write to|mail|email|contact|ask|try|text)\s+$"
)
"""Before what somebody is asked to use, which need not be whose sentence it is."""
_FAR = 200  # characters between a name and what is surely its
_MANY = 20  # things of a kind in one sentence, which then is no sentence


def by_sentence(scene: Scene, finding: SensitiveSpan) -> Iterator[Evidence]:
    """What is said behind it, else as many names as things in turn, else who comes before it, else
    who comes behind it, else who says it.
    """
    start, end = scene.sentence(finding.start)
    inside = scene.mentions.within(start, end)
    speakers = [m for m in inside if scene.speakers.speaks(m)]
    before = [m for m in inside if m.end <= finding.start and m not in speakers]
    behind = [m for m in inside if m.start >= finding.end and m not in speakers]
    after = list(takewhile(lambda m: not m.pronoun, behind))
    said = [*_said_of(scene, finding, behind), *_in_turn(scene, finding, [*before, *after])]
    if said:
        yield from said
    elif before:
        if not _NOTE.match(scene.text, start, before[-1].end + 1):
            yield from _before(scene, finding, before)
    elif after and not speakers:
        yield after[0].person, 0.85 if len({m.person for m in after}) == 1 else 0.6
    elif speakers and not asked(scene, finding):
        close = _RIGHT_BEHIND.fullmatch(scene.text, speakers[0].end, finding.start)
        directed = DIRECTED.search(scene.text, start, finding.start)
        yield speakers[0].person, 0.85 if close else 0.4 if directed else 0.7


def asked(scene: Scene, finding: SensitiveSpan) -> set[int]:
    """Who the question in the line before is about."""
    number = scene.layout.line_at(finding.start) - 1
    if number < 0 or not scene.text.endswith("?", 0, scene.layout.lines[number].end):
        return set()
    start, end = scene.sentence(scene.layout.lines[number].end - 1)
    return {m.person for m in scene.mentions.within(start, end) if not scene.speakers.speaks(m)}


def _said_of(scene: Scene, finding: SensitiveSpan, behind: Sequence[Mention]) -> Iterator[Evidence]:
    """Who stands in brackets, or behind words like "belongs to"."""
    if behind:
        place = (finding.end, behind[0].start)
        if _IN_BRACKETS.fullmatch(scene.text, *place) or _SAID_OF.fullmatch(scene.text, *place):
            yield behind[0].person, 0.97


def _in_turn(scene: Scene, finding: SensitiveSpan, around: Sequence[Mention]) -> Iterator[Evidence]:
    """As many names as things of one kind: "v for a, w for b", or "a and b have v and w"."""
    same = [f for f in scene.things(*scene.sentence(finding.start)) if f.kind is finding.kind]
    names = [m for m in around if not m.pronoun]
    if not 2 <= len(same) == len(names) <= _MANY or len({m.person for m in names}) < 2:
        return
    places = sorted([(f.start, "v") for f in same] + [(m.start, "n") for m in names])
    if "".join(what for _, what in places) in {"vn" * len(same), "n" * len(same) + "v" * len(same)}:
        yield names[same.index(finding)].person, 0.9


def _before(scene: Scene, finding: SensitiveSpan, before: Sequence[Mention]) -> Iterator[Evidence]:
    """The last mention before, unless it is of somebody who only used it; less where it is far, or
    something of the same kind comes between them.
    """
    last = _main(scene, finding, before)
    place = (last.end, finding.start)
    group = {m.person for m in _group(scene, before)}
    if not last.pronoun and (
        _USED.fullmatch(scene.text, *place) or _ACTED.fullmatch(scene.text, *place)
    ):
        yield UNKNOWN, 0.85
    elif _OPENED.fullmatch(scene.text, *place):
        yield last.person, 0.97
    elif last.pronoun or OWNS.match(scene.text, last.end):
        yield last.person, 0.93
    elif len(group) > 1:
        yield from ((person, 0.6) for person in group)
    else:
        again = any(f.kind is finding.kind for f in scene.things(*place))
        yield last.person, 0.65 if again or place[1] - place[0] > _FAR else 0.85


def _main(scene: Scene, finding: SensitiveSpan, before: Sequence[Mention]) -> Mention:
    """The last mention that is not in a relative clause which ends before the finding."""
    for mention in reversed(before):
        comma = scene.text.rfind(",", before[0].start, mention.start)
        closed = scene.text.find(",", mention.end, finding.start) >= 0
        if not (closed and _CLAUSE.search(scene.text, comma + 1, mention.start)):
            return mention
    return before[-1]


def _group(scene: Scene, before: Sequence[Mention]) -> list[Mention]:
    """The last mention and those joined to it by commas and "and"."""
    group = [before[-1]]
    for one, two in pairwise(reversed(before)):
        if two.pronoun or not _JOINED.fullmatch(scene.text, two.end, one.start):
            break
        group.append(two)
    return group
