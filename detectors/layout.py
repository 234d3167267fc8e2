"""How a text is laid out: lines and their quotes, blocks, sentences, tables, nested objects."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import NamedTuple

Place = tuple[int, int]
"""Code points `start:end`."""

_BORDER = re.compile(
    r"(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Mx|Dr|St|No))(?<!\bMrs)(?<!\.)[.!?]{1,3}[\"')\]]*\s+(?=[^\W_a-z])"
    r"|;\s"
)
"""Ends of sentences and clauses. A question and the answer behind it are one: see `sentences`."""
_LINE = re.compile(r"(?m)^(?P<quote>(?:[ \t]?>)*)(?P<indent>[ \t]*)(?P<text>[^\n]*)$")
_BULLET = re.compile(r"[-*\u2022\u00b7] |\(?\d{1,2}[.)] |\[[ xX]?\] |#+ ")
_KEY = re.compile(r"[\"']?([^\W\d][^:=\n\"]{0,30}?)[\"']?\s*[:=](?=\s|\w|[\"'(+])")
_DELIMITERS = {
    "|": r"\s*\|\s*",
    "\t": r"\t",
    ";": r"\s*;\s*",
    " ": r"\s{2,}",
    ",": r"\s*,\s*",
}
_FEWEST = {",": 3}  # cells: one comma is no table


class Line(NamedTuple):
    """Code points `start:end` of what a line says, without quote marks, indent and bullet."""

    start: int
    end: int
    depth: int  # of the quote
    indent: int
    bullet: bool
    key: str  # what stands before its colon, in lower case


@dataclass(frozen=True)
class Table:
    """Lines of equally many cells: the cells by line number."""

    rows: dict[int, list[Place]]

    def cell(self, row: int, place: int) -> int | None:
        """The number of the cell of a row in which a place lies."""
        return next((n for n, (a, b) in enumerate(self.rows[row]) if a <= place < b), None)


@dataclass(frozen=True)
class Layout:
    """A text and its parts, each found when it is first asked for."""

    text: str

    @cached_property
    def lines(self) -> list[Line]:
        return [_line(match) for match in _LINE.finditer(self.text)]

    @cached_property
    def _starts(self) -> list[int]:
        return [match.start() for match in _LINE.finditer(self.text)]

    def line_at(self, place: int) -> int:
        """The number of the line, from 0."""
        return bisect_right(self._starts, place) - 1

    @cached_property
    def blocks(self) -> list[range]:
        """Numbers of the lines in each run without an empty one and of one depth of quotes."""
        found = []
        numbered = enumerate(self.lines)
        for (_, full), run in groupby(numbered, lambda n: (n[1].depth, n[1].start < n[1].end)):
            numbers = [number for number, _ in run]
            if full:
                found.append(range(numbers[0], numbers[-1] + 1))
        return found

    @cached_property
    def _block_of(self) -> dict[int, int]:
        return {number: n for n, block in enumerate(self.blocks) for number in block}

    def block_at(self, line: int) -> range:
        """The block of a line; an empty line is its own."""
        number = self._block_of.get(line)
        return range(line, line + 1) if number is None else self.blocks[number]

    def block_before(self, line: int) -> range | None:
        """The block before that of a line."""
        number = self._block_of.get(line)
        return self.blocks[number - 1] if number else None

    @cached_property
    def sentences(self) -> list[Place]:
        """Each sentence or clause of each line; at least one."""
        found = []
        for line in self.lines:
            borders = _BORDER.finditer(self.text, line.start, line.end)
            ends = [border.end() for border in borders if "?" not in border.group()]
            found += [(a, b) for a, b in pairwise([line.start, *ends, line.end]) if a < b]
        return found or [(0, len(self.text))]

    def sentence_at(self, place: int) -> int:
        """The number of the sentence in which a place lies, or of the last one before."""
        return max(0, bisect_right(self.sentences, (place, len(self.text) + 1)) - 1)

    @cached_property
    def tables(self) -> list[Table]:
        """Two lines and more in a row with equally many cells, by the first delimiter that does."""
        found: list[Table] = []
        for block in self.blocks:
            for delimiter in _DELIMITERS if len(block) > 1 else ():
                rows = [(number, self._cells(delimiter, number)) for number in block]
                runs = [list(run) for _, run in groupby(rows, lambda row: len(row[1]))]
                fewest = _FEWEST.get(delimiter, 2)
                runs = [run for run in runs if len(run) > 1 and len(run[0][1]) >= fewest]
                if runs:
                    found += [Table(dict(run)) for run in runs]
                    break
        return found

    @cached_property
    def _table_of(self) -> dict[int, Table]:
        return {number: table for table in self.tables for number in table.rows}

    def table_at(self, line: int) -> Table | None:
        return self._table_of.get(line)

    def _cells(self, delimiter: str, number: int) -> list[Place]:
        line = self.lines[number]
        start, cells = line.start, []
        for match in re.finditer(_DELIMITERS[delimiter], self.text[line.start : line.end]):
            cells.append((start, line.start + match.start()))
            start = line.start + match.end()
        cells.append((start, line.end))
        return [cell for cell in cells if cell[0] < cell[1] or delimiter != "|"]

    def head(self, place: int) -> str:
        """The first cell of the column in which a place lies; empty outside of a table."""
        number = self.line_at(place)
        table = self.table_at(number)
        column = table.cell(number, place) if table else None
        if table is None or column is None:
            return ""
        return self.text[slice(*table.rows[min(table.rows)][column])]

    def records(self, block: range) -> list[range]:
        """The lines of a block that belong together, by their indent or by the key of its first
        line; one where nothing parts them.
        """
        return parted(block, self._beginnings(block))

    def _beginnings(self, block: range) -> list[int]:
        if len(block) == 1:
            return []
        lines = {n: self.lines[n] for n in block}
        for indent in sorted({line.indent for line in lines.values()}):
            outer = [n for n, line in lines.items() if line.indent == indent]
            if len(outer) > 1:
                deeper = any(lines[n].indent > indent for n in range(outer[0], block.stop))
                return outer if deeper else self._repeated(block)
        return []

    def _repeated(self, block: range) -> list[int]:
        """The lines with the key of the first one."""
        key = self.lines[block.start].key
        return [n for n in block if key and self.lines[n].key == key]

    @cached_property
    def objects(self) -> list[tuple[int, int, int]]:
        """Start, end and the number of the next outer one, or -1, of everything in braces that has a
        key in it, in the order of their starts.
        """
        found: list[tuple[int, int, int]] = []
        opened: list[int] = []
        for match in re.finditer(r"[{}]", self.text):
            if match.group() == "{":
                found.append((match.start(), len(self.text), opened[-1] if opened else -1))
                opened.append(len(found) - 1)
            elif opened:
                number = opened.pop()
                found[number] = (found[number][0], match.end(), found[number][2])
        return found

    def objects_around(self, place: int) -> list[int]:
        """The numbers of the objects in which a place lies, the innermost first."""
        number = bisect_right(self.objects, (place, len(self.text) + 1, 0)) - 1
        around = []
        while number >= 0:
            _, end, outer = self.objects[number]
            if place < end:
                around.append(number)
            number = outer
        return around


def parted(block: range, begins: Sequence[int]) -> list[range]:
    """A block cut where lines begin something new."""
    borders = sorted({block.start, *begins, block.stop})
    return [range(a, b) for a, b in pairwise(borders)]


def _line(match: re.Match[str]) -> Line:
    start = match.start("text")
    end = start + len(match["text"].rstrip())
    bullet = _BULLET.match(match.string, start, end)
    start = bullet.end() if bullet else start
    key = _KEY.match(match.string, start, end)
    return Line(
        start,
        end,
        match["quote"].count(">"),
        len(match["indent"]),
        bullet is not None,
        key[1].strip().lower() if key else "",
    )
