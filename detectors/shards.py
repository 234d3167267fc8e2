"""Search a corpus by several processes: each looks at pieces of it, and this one puts together what they found.

A worker gets references: which piece of which file, and how to open for itself what it searches with. Back come places
and spans. Neither text nor identifiers travel, not even to a process of the same machine.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from detectors import basis, reading
from detectors.corpus import Batch, CorpusFiles, Piece
from detectors.hands import Crew, in_order
from detectors.looking import Searcher, searcher
from detectors.memory import Looked, Memory
from detectors.protocol import Detector, Reviewer
from domain.errors import Code, DetectionFailed, ErasureError, RequestRejected
from domain.records import Subject


class Equipment(NamedTuple):
    """What a search is made with. It is never sent anywhere.

    Attributes:
        subjects: whom to look for.
        detectors: by name. Reviewers are not asked by workers.
        memories: as for `detectors.locate.search`.

    """

    subjects: Sequence[Subject]
    detectors: Mapping[str, Detector]
    memories: Sequence[Memory] = ()


@dataclass(frozen=True)
class Errand:
    """What workers are told of one search.

    Attributes:
        equip: a function of a module, by whose name each worker finds it.
        arguments: for `equip`: references that mean nothing to anybody else.
        text_field: as for `open_corpus`.
        made_with: what a worker's findings must depend on; see `made_with`.
        number: tells this search from others.

    """

    equip: Callable[..., Equipment]
    arguments: tuple[str, ...]
    text_field: str
    made_with: bytes
    number: str = field(default_factory=lambda: token_hex(8))


class Found(NamedTuple):
    """What a worker found in one batch: places, never a text.

    Attributes:
        digest: of the batch.
        rows: how many it has.
        texts: how many of them are texts; None where they were not read, because all memories know the batch.
        corrupt: how many cannot be read.
        named: the first of those, from 1.
        looked: of those whose memory does not know the batch.

    """

    digest: bytes
    rows: int
    texts: int | None
    corrupt: int
    named: tuple[int, ...]
    looked: Looked


class Answer(NamedTuple):
    """What a worker found in one piece, batch by batch, and what stopped it there, if anything did."""

    found: list[Found]
    failure: str = ""


class Task(NamedTuple):
    """What a worker is given."""

    errand: Errand
    pieces: tuple[Piece, ...]


def made_with(detectors: Mapping[str, Detector], text_field: str) -> bytes:
    """What findings depend on, without the reviewers, whom no worker asks. Nobody's data is in it."""
    return basis.made_with(
        {name: d for name, d in detectors.items() if not isinstance(d, Reviewer)}, text_field
    )


def looked_at(files: CorpusFiles, errand: Errand, crew: Crew) -> Iterator[Batch]:
    """`files.batches()`, but other processes have looked at them before; a handful of pieces is not worth their while.

    What a worker cannot do this process tries itself, so that it fails as it would alone; if it does not, the search
    stops all the same. Raises as `batches` and `in_order`, and `DetectionFailed` for a failure of a worker's own.
    """
    tasks = (Task(errand, pieces) for pieces in _together(files.pieces()))
    ahead = list(islice(tasks, 2))
    if len(ahead) < 2:
        return files.batches()
    return files.counted(_batches(files, crew, chain(ahead, tasks)))


def _together(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, ...]]:
    """Small pieces many at a time."""
    some: list[Piece] = []
    size = 0
    for piece in pieces:
        if some and size + piece.size > reading.PART:
            yield tuple(some)
            some, size = [], 0
        some.append(piece)
        size += piece.size
    if some:
        yield tuple(some)


def _batches(files: CorpusFiles, crew: Crew, tasks: Iterable[Task]) -> Iterator[Batch]:
    rows = 0
    for task, answers in in_order(crew, look, tasks):
        # behind a failure there are no more answers
        for piece, answer in zip(task.pieces, answers, strict=False):
            here = piece
            if piece.stretch is not None:
                rows = rows if piece.stretch.start else 0
                here = piece._replace(stretch=piece.stretch._replace(before=rows))
            yield from _found(files, here, answer)
            rows += sum(found.rows for found in answer.found)


def _found(files: CorpusFiles, piece: Piece, answer: Answer) -> Iterator[Batch]:
    """The batches of one piece."""
    again, before = _Again(files, piece), piece.stretch.before if piece.stretch else 0
    for number, found in enumerate(answer.found):
        batch = Batch(piece.name, _Part(again, number, found), found.looked)
        batch.count, batch.corrupt = found.texts, found.corrupt
        batch.named = tuple(before + row for row in found.named)
        yield batch
    if answer.failure:
        yield from islice(files.read(piece), len(answer.found), len(answer.found) + 1)
        raise DetectionFailed(
            Code.WORKER_FAILED,
            place=f"a worker, at corpus file {piece.name}",
            remedy=f"it stopped where this process did not: {answer.failure}",
        )


class _Again:
    """A piece that is read once more for those of its batches whose texts are asked for, from the first to the last."""

    def __init__(self, files: CorpusFiles, piece: Piece) -> None:
        self._files = files
        self._piece = piece
        self._batches = enumerate(files.read(piece))
        self._at = -1
        self._part: reading.Part | None = None

    def part(self, number: int, digest: bytes) -> reading.Part:
        """One of them. Raises `RequestRejected` where it is not what it was."""
        if self._at != number or self._part is None:
            if self._at > number:
                self._batches = enumerate(self._files.read(self._piece))
            batch = next((batch for at, batch in self._batches if at == number), None)
            if batch is None or batch.digest != digest:
                raise RequestRejected(
                    Code.CORPUS_UNREADABLE,
                    place=f"corpus file {self._piece.name}",
                    remedy="it was changed while it was searched; search again",
                )
            self._at, self._part = number, batch.part
        return self._part


@dataclass(frozen=True, repr=False)
class _Part:
    """Rows that a worker has looked at, read where their texts are asked for."""

    again: _Again
    number: int
    found: Found

    @property
    def last(self) -> int:
        return self.again.part(self.number, self.found.digest).last

    def rows(self) -> Iterator[reading.Rows]:
        return self.again.part(self.number, self.found.digest).rows()

    def some(self, places: Collection[int]) -> Iterator[tuple[int, int, str | None]]:
        return self.again.part(self.number, self.found.digest).some(places)

    def digest(self) -> bytes:
        return self.found.digest


_BUSY = threading.Lock()
"""Workers of a cluster may have several threads; detectors are made for one."""
_READY: dict[Errand, "_Searching"] = {}


def look(task: Task) -> list[Answer]:
    """Look at some pieces, in a worker. Nothing is raised: an error's chain could carry what it stumbled over."""
    errand, pieces = task
    answers: list[Answer] = []
    with _BUSY:
        for piece in pieces:
            answers.append(_answer(errand, piece))
            if answers[-1].failure:
                break
    return answers


def forget() -> None:
    """Let go of what the last search was made with."""
    _READY.clear()


def _answer(errand: Errand, piece: Piece) -> Answer:
    found: list[Found] = []
    try:
        searching = _ready(errand)
        for batch in CorpusFiles(Path(), (), text_field=errand.text_field).read(piece):
            found.append(searching.found(batch))  # noqa: PERF401  what was found before a failure is kept
    except ErasureError as error:
        return Answer(found, error.sentence)
    except Exception as error:  # noqa: BLE001  its message may quote the text
        return Answer(found, f"unexpected {type(error).__name__}")
    return Answer(found)


def _ready(errand: Errand) -> "_Searching":
    """Opened once for each search."""
    if errand not in _READY:
        forget()
        equipment = errand.equip(*errand.arguments)
        if made_with(equipment.detectors, errand.text_field) != errand.made_with:
            raise DetectionFailed(
                Code.WORKER_FAILED,
                place="its code, libraries, policy or models",
                remedy="they are not those of the process that asks; bring them in line",
            )
        alone = replace(searcher(equipment.subjects, equipment.detectors), reviewers={})
        _READY[errand] = _Searching(alone, equipment.memories)
    return _READY[errand]


@dataclass(frozen=True, repr=False)
class _Searching:
    """A worker's search."""

    searcher: Searcher
    memories: Sequence[Memory]

    def found(self, batch: Batch) -> Found:
        digest = batch.digest
        new = [n for n, memory in enumerate(self.memories) if memory.seen(digest) is None]
        numbers = new if self.memories else range(len(self.searcher.subjects))
        looked: Looked = {}
        if numbers:
            seen, _ = self.searcher.at(batch, numbers, lambda _: None)
            looked = {
                number: {
                    place: tuple(replace(span, document="") for span in spans)
                    for place, spans in one.spans.items()
                }
                for number, one in zip(numbers, seen, strict=True)
            }
        return Found(digest, batch.last, batch.count, batch.corrupt, batch.named, looked)
