"""Whose it is by structure: the object, the row or column, the record of lines in which it stands."""

import re
from collections.abc import Iterator, Sequence

from detectors.cast import UNKNOWN, Mention
from detectors.layout import Line, Place, Table, parted
from detectors.letters import CAPITALISED
from detectors.roles import FIELDS, ROLE
from detectors.scene import Evidence, Scene
from detectors.sentences import DIRECTED, by_sentence
from domain.records import SensitiveSpan

_KEY = re.compile(r"[\"']?([^\"'\n{},]*)[\"']?\s*:\s*[\"']?$")
_NAME = re.compile(rf"(?<!\w){CAPITALISED},? {CAPITALISED}(?!\w)")
_PROSE = re.compile(r"\b[a-z]+\b")
_SENTENCE = 4  # words in lower case before a finding in a line that is no field
_WINDOW = 40  # lines before and behind that a record is looked at


def by_object(scene: Scene, finding: SensitiveSpan) -> Iterator[Evidence]:
    """Whom the innermost object names, its inner objects aside; else its key, its inner ones, the
    outer one. In a quoted sentence, the sentence.
    """
    around = scene.layout.objects_around(finding.start)
    if around and _in_string(scene, finding):
        yield from by_sentence(scene, finding)
        return
    for number in around:
        start, end, _ = scene.layout.objects[number]
        inside = scene.cast.within(start, end)
        innermost = [scene.layout.objects_around(m.start)[0] == number for m in inside]
        below = {m.person for m, own in zip(inside, innermost, strict=True) if not own}
        direct = {
            m.person
            for m, own in zip(inside, innermost, strict=True)
            if own and not (below and _is_aside(scene, m))
        }
        people = direct or _key_of(scene, start) or below
        if people:
            share = 0.9 if len(people) == 1 else 0.5
            yield from ((person, share) for person in people)
            return
        if len(inside) > _WINDOW:
            break
    if around:
        yield UNKNOWN, 0.9


def _is_aside(scene: Scene, mention: Mention) -> bool:
    """Whether the key of a name in an object says that it is not the name of the object."""
    key = _KEY.search(scene.text[max(0, mention.start - 60) : mention.start])
    return key is not None and "name" not in key[1].lower()


def _key_of(scene: Scene, start: int) -> set[int]:
    """Whom the key of an object names."""
    offset = max(0, start - 60)
    key = _KEY.search(scene.text[offset:start])
    return scene.cast.people(offset + key.start(1), offset + key.end(1)) if key else set()


def _in_string(scene: Scene, finding: SensitiveSpan) -> bool:
    """Whether the finding stands behind a name in one quoted string."""
    line = scene.layout.lines[scene.layout.line_at(finding.start)]
    opened = scene.text.rfind('"', line.start, finding.start)
    inside = opened >= 0 and bool(scene.cast.within(opened + 1, finding.start))
    return inside and scene.text.count('"', line.start, finding.start) % 2 == 1


def by_table(scene: Scene, finding: SensitiveSpan) -> Iterator[Evidence]:
    """Whom the row names in a table of people; UNKNOWN in a row that names nobody, where others do;
    or whom the head of the column names.
    """
    number = scene.layout.line_at(finding.start)
    table = scene.layout.table_at(number)
    if table is None:
        return
    near = [n for n in range(number - _WINDOW, number + _WINDOW) if n in table.rows]
    people = {n: scene.cast.people(*_row(table, n)) for n in near}
    named = [n for n in near if len(people[n]) == 1]
    heads = [n for n in near if len(people[n]) > 1 and n < number]
    if len(people[number]) == 1 and len(named) > 1:
        yield min(people[number]), 0.9
    elif not people[number] and heads:
        column = table.cell(number, finding.start)
        above = set() if column is None else scene.cast.people(*table.rows[heads[-1]][column])
        yield (min(above) if len(above) == 1 else UNKNOWN), 0.9
    elif not people[number] and any(scene.things(*_row(table, n)) for n in named):
        yield UNKNOWN, 0.9


def _row(table: Table, number: int) -> Place:
    return table.rows[number][0][0], table.rows[number][-1][1]


def by_lines(scene: Scene, finding: SensitiveSpan) -> Iterator[Evidence]:
    """Whom the other sentences of the line name, the sentences before, or the lines of the record;
    UNKNOWN in a line or a record with a name of its own that nobody knows.
    """
    number = scene.layout.line_at(finding.start)
    line, block = scene.layout.lines[number], scene.layout.block_at(number)
    window = range(max(block.start, number - _WINDOW), min(block.stop, number + _WINDOW))
    directed = DIRECTED.search(scene.text, line.start, finding.start)
    if scene.cast.within(line.start, line.end):
        if directed:
            return
        earlier = {m.person for m in scene.mentions.within(line.start, finding.start)}
        yield from _one(earlier or scene.of_lines(window), 0.7)
    elif len(_PROSE.findall(scene.text, line.start, finding.start)) >= _SENTENCE:
        if number > window.start and not directed:
            yield from _one(scene.of_lines(range(window.start, number)), 0.6)
    elif _names_somebody(scene, line, finding):
        yield UNKNOWN, 0.9
    else:
        yield from _by_record(scene, number, window)


def _one(people: set[int], share: float) -> Iterator[Evidence]:
    if len(people) == 1:
        yield min(people), share


def _names_somebody(scene: Scene, line: Line, finding: SensitiveSpan) -> bool:
    """Whether what looks like a name stands before the finding, other findings aside."""
    start, words = line.start + len(line.key), ""
    for thing in scene.things(start, finding.start):
        words += scene.text[start : thing.start] + "; "
        start = max(start, thing.end)
    return _NAME.search(words + scene.text[start : finding.start]) is not None


def _by_record(scene: Scene, number: int, window: range) -> Iterator[Evidence]:
    """Records part by the layout, or from one name that fills a line to the next; where the last
    line is such a name, they end there. A block without a name may have it in a line of its own.
    """
    records = scene.layout.records(window)
    heads = [] if len(records) > 1 else [n for n in window if _is_head(scene, n)]
    if heads and heads[-1] == window.stop - 1 and window.start not in heads:
        heads = [n + 1 for n in heads[:-1]]
    own = next(r for r in (parted(window, heads) if heads else records) if number in r)
    people = scene.of_lines(own)
    if len(people) > 1:
        yield from _by_fields(scene, own, number)
    elif people:
        yield min(people), 0.8
    elif len(records) > 1 and scene.of_lines(window):
        yield UNKNOWN, 0.9
    else:
        before = scene.layout.block_before(number)
        if before is not None and len(before) == 1 and _is_head(scene, before.start):
            yield min(scene.of_lines(before)), 0.75


def _is_head(scene: Scene, number: int) -> bool:
    line = scene.layout.lines[number]
    return scene.cast.named_alone(scene.text, line.start, line.end)


def _by_fields(scene: Scene, record: range, number: int) -> Iterator[Evidence]:
    """A record with several people: a second thing of a kind is the last one's, and what comes
    behind somebody with things of their own is the first one's.
    """
    lines = scene.layout.lines
    named = [
        (n, min(people))
        for n in range(record.start, number)
        if len(people := scene.of_lines(range(n, n + 1))) == 1
    ]
    if not named:
        return
    (_, first), (at, last) = named[0], named[-1]
    if first == last:
        yield first, 0.75
    elif any(lines[n].key == lines[number].key for n in range(record.start, at)):
        yield last, 0.8
    elif _has_own(scene, lines[at:number]):
        yield first, 0.7


def _has_own(scene: Scene, lines: Sequence[Line]) -> bool:
    """Whether a line with a name has something in itself or in a line with a word of its key."""
    words = set(ROLE.findall(lines[0].key)) - FIELDS
    return bool(scene.things(lines[0].start, lines[0].end)) or any(
        words & set(ROLE.findall(line.key)) for line in lines[1:]
    )
