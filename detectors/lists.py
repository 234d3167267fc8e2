"""People whose names look like nothing, but stand where others have one: in tables, lines, records."""

import re
from collections.abc import Sequence

from detectors.cast import Cast, Mention, words_of
from detectors.layout import Layout, Line, Place, Table
from detectors.letters import CAPITALISED, UPPER
from domain.records import Owner, SensitiveSpan

_AFTER = re.compile(r" ?[^\w\s.?!'\u2019] ?|\t| {2,}")
_CAPITALS = frozenset(UPPER)
_SOMEBODY = re.compile(rf"{CAPITALISED}(?:,? (?:[a-z]{{2,3}} )?{CAPITALISED}){{0,3}}")


def add_by_likeness(people: Cast, layout: Layout, things: Sequence[SensitiveSpan]) -> None:
    """Somebody for each row, line and record that is like one with a name.

    Args:
        people: who is known; those found are added.
        layout: of the text.
        things: the findings that are no names.

    """
    starts = [(f.start, f.end) for f in things]
    filled: dict[int, list[Place]] = {}
    for start, end in starts:
        filled.setdefault(layout.line_at(start), []).append((start, end))
    for block in layout.blocks:
        _lines(people, layout.text, [layout.lines[n] for n in block if n in filled])
    for table in layout.tables:
        _rows(people, layout.text, table, filled)
    for block in layout.blocks:
        records = layout.records(block)
        if len(records) > 1 and all(len(record) > 1 for record in records):
            for place in (0, -1):
                numbers = [record[place] for record in records]
                _heads(people, layout.text, [layout.lines[n] for n in numbers if n not in filled])


def somebody(people: Cast, text: str, cells: Sequence[Place]) -> None:
    """Add the person whose name these cells hold; a new one where nobody has all of its words. Parts
    of names that were taken for somebody's go.
    """
    written = [cell for cell in cells if not _CAPITALS.isdisjoint(text[slice(*cell)])]
    words = {w for cell in written for w in words_of(text[slice(*cell)])}
    there = [m for cell in written for m in people.mentions.touching(*cell)]
    if not words or any(len(words_of(text[m.start : m.end])) > 1 for m in there):
        return
    people.mentions.drop(dict.fromkeys(there))
    known = people.having(words)
    if len(known) == 1:
        for cell in written:
            people.mentions.add(Mention(*cell, min(known)))
    else:
        people.add(words, written, Owner.OTHER)


def _lines(people: Cast, text: str, lines: Sequence[Line]) -> None:
    """The same stands before the name, digits aside, and the same mark behind it."""
    likenesses = set()
    for line in lines:
        inside = people.within(line.start, line.end)
        marks = _AFTER.match(text, inside[-1].end) if inside else None
        if marks is not None and len({m.person for m in inside}) == 1:
            before = re.sub(r"\d+", r"\\d+", re.escape(text[line.start : inside[0].start]))
            likenesses.add((before, marks.group()))
    for before, mark in sorted(likenesses)[:_LIKENESSES]:
        pattern = re.compile(before)
        for line in lines:
            begin = pattern.match(text, line.start, line.end)
            name = _SOMEBODY.match(text, begin.end(), line.end) if begin else None
            if name is not None and text.startswith(mark, name.end()):
                somebody(people, text, [name.span()])


_LIKENESSES = 8  # in one block; more is no list


def _rows(people: Cast, text: str, table: Table, filled: dict[int, list[Place]]) -> None:
    """A row that has a finding where a row with a name has one, and in the cells of that name
    something else.
    """
    things = {n: [_any(filled.get(n, ()), *cell) for cell in row] for n, row in table.rows.items()}
    named = {
        n: [bool(people.mentions.touching(*cell)) for cell in row] for n, row in table.rows.items()
    }
    heads = [n for n in table.rows if any(named[n]) and any(things[n])]
    if not heads:
        return
    head = max(heads, key=lambda n: sum(named[n]))
    columns = [n for n, there in enumerate(named[head]) if there and not things[head][n]]
    for number, row in table.rows.items():
        alike = any(a and b for a, b in zip(things[number], things[head], strict=True))
        if alike and not all(named[number][n] for n in columns):
            somebody(people, text, [row[n] for n in columns if not things[number][n]])


def _any(places: Sequence[Place], start: int, end: int) -> bool:
    return any(a < end and start < b for a, b in places)


def _heads(people: Cast, text: str, lines: Sequence[Line]) -> None:
    """The first or the last lines of records: one is a name alone."""
    if any(people.named_alone(text, line.start, line.end) for line in lines):
        for line in lines:
            if not line.key:
                somebody(people, text, [(line.start, line.end)])
