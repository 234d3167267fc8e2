"""How fast the index reads JSON lines, and Presidio beside its own batch engine on the candidates."""

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from detectors import shards
from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.hands import Hands, crew
from detectors.locate import search
from detectors.presidio import PresidioDetector
from domain.records import Document, Identifier, IdentifierKind, Subject
from domain.secrecy import Secret
from tests.benchmark import detect_people
from tests.benchmark.detect_people import Person
from tests.benchmark.detect_pii import NOBODY, default_engine
from tests.benchmark.lume import DATA, ordinary_pieces

SHARE = 0.01  # of the lines mention the one person who is there
ROUNDS, INDEX_ROUNDS = 3, 7

_WAYS = ("Road", "Lane", "Avenue", "Court")


@dataclass(frozen=True)
class Pace:
    """What one search took."""

    people: int
    megabytes: float
    candidates: int
    net_seconds: float
    per_second: float
    parsed_per_second: float  # what orjson does with the same lines, one by one, and nothing else


def crowd(count: int, everybody: Sequence[Person]) -> list[Subject]:
    """Made-up people with a name, an e-mail address, a phone, a record number, a birth date and a
    home each; none of them is in the corpus, but their given and family names may be: those are
    drawn from LUME's.
    """
    order, people = random.Random(5), []
    for n in range(count):
        given, family = (order.choice(everybody).name.split()[place] for place in (0, -1))
        born = date(1940, 1, 1) + timedelta(order.randrange(24_000))
        known = {
            IdentifierKind.NAME: f"{given} {family}",
            IdentifierKind.EMAIL: f"{given}.{family}{n}@example.org".lower(),
            IdentifierKind.PHONE: f"{order.randrange(201, 989)}-555-{order.randrange(10_000):04d}",
            IdentifierKind.RECORD_ID: f"{order.randrange(10**8, 10**9)}",
            IdentifierKind.BIRTH_DATE: str(born),
            IdentifierKind.ADDRESS: f"{order.randrange(1, 9999)} {family} {order.choice(_WAYS)}, Ostby",
        }
        values = tuple(Identifier(kind, Secret(value)) for kind, value in known.items())
        people.append(Subject(f"crowd-{n}", values))
    return people


def write_lines(
    path: Path, data: Path, candidates: Sequence[Document], megabytes: float, share: float = SHARE
) -> float:
    """A JSON lines file of WikiText and TOFU, in which this share of the lines are candidates.

    Returns its megabytes.
    """
    order = random.Random(0)
    texts = [" ".join(piece.split()) for piece in ordinary_pieces(2000)]
    rows = json.loads((data / "tofu" / "retain90.json").read_text("utf-8"))
    texts += [f"{row['question']} {row['answer']}" for row in rows]
    written = 0
    with path.open("wb") as stream:
        while written < megabytes * 1e6:
            wanted = order.random() < share
            text = order.choice(candidates).text.reveal() if wanted else order.choice(texts)
            row = {"id": written, "source": "bench", "text": text}
            written += stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return written / 1e6


def index(path: Path, megabytes: float, subjects: Sequence[Subject]) -> Pace:
    """Read, check and search the file with the exact index alone, the careful look at candidates
    included; beside it, in turns, what parsing alone takes. Processor seconds of one thread, best of
    `INDEX_ROUNDS`.
    """
    detector = ExactIndex()
    started = time.process_time()
    detector.net(subjects)
    made = time.process_time() - started
    files, best, parsing, found = open_corpus(str(path)), float("inf"), float("inf"), 0
    for _ in range(INDEX_ROUNDS):
        started = time.process_time()
        located = search(files.batches(), subjects, {"exact": detector})
        best = min(best, time.process_time() - started)
        found = sum(one.candidates for one in located)
        started = time.process_time()
        with path.open("rb") as lines:
            for line in lines:
                orjson.loads(line)
        parsing = min(parsing, time.process_time() - started)
    return Pace(len(subjects), megabytes, found, made, megabytes / best, megabytes / parsing)


def equip() -> shards.Equipment:
    """What each worker searches with."""
    person = detect_people.lume(DATA)[1][0].subject("lume-0", *detect_people.KINDS.values())
    return shards.Equipment([person], {"exact": ExactIndex()})


def workers(path: Path, megabytes: float, counts: Sequence[int]) -> dict[int, dict[str, float]]:
    """The same search by so many worker processes, which stay, taking turns; 0: by this process alone.

    MB/s of the wall clock, best of `ROUNDS` behind a first one in which they get ready; and processor seconds of this
    process, which no worker can take from it.
    """
    subjects, detectors, _ = equip()
    files, made = open_corpus(str(path)), shards.made_with(detectors, "text")
    errand = shards.Errand(equip, (), "text", made)
    paces = {count: {"mb_s": 0.0, "own_seconds": float("inf"), "candidates": 0} for count in counts}
    with ExitStack() as until_the_end:
        crews = {
            count: until_the_end.enter_context(crew(Hands(count), shards.forget))
            for count in counts
            if count
        }
        for turn in range(1 + ROUNDS):
            for count, pace in paces.items():
                started, own = time.perf_counter(), time.process_time()
                batches = (
                    shards.looked_at(files, errand, crews[count]) if count else files.batches()
                )
                [found] = search(batches, subjects, detectors)
                if turn:
                    seconds = time.perf_counter() - started
                    pace["mb_s"] = max(pace["mb_s"], megabytes / seconds)
                    pace["own_seconds"] = min(pace["own_seconds"], time.process_time() - own)
                pace["candidates"] = found.candidates
    return paces


def presidio(documents: Sequence[Document], model: str) -> dict[str, float]:
    """Seconds of both ways over the same documents, taking turns, and whether ours finds what theirs
    does.

    Theirs: `BatchAnalyzerEngine` with all default recognizers and the same pipeline. Compared are the
    findings that a request asks for and that Presidio itself gives .4 or more.
    """
    from presidio_analyzer import BatchAnalyzerEngine

    theirs = BatchAnalyzerEngine(default_engine(model))
    texts = [document.text.reveal() for document in documents]

    def batch() -> list[Any]:
        return list(theirs.analyze_iterator(texts, "en"))

    def own() -> list[Any]:
        fresh = PresidioDetector(model=model)
        fresh._engine.extend(ours._engine)
        return [fresh.find(document, NOBODY) for document in documents]

    ours = PresidioDetector(model=model)
    ours.find(documents[0], NOBODY)
    seconds: dict[str, list[float]] = {"theirs": [], "ours": []}
    found: dict[str, list[Any]] = {}
    ways: dict[str, Callable[[], list[Any]]] = {"theirs": batch, "ours": own}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = time.process_time()
            found[name] = way()
            seconds[name].append(time.process_time() - started)
    wanted = kept = 0
    for results, spans in zip(found["theirs"], found["ours"], strict=True):
        for result in results:
            if result.entity_type in _ASKED and result.score >= 0.4:
                wanted += 1
                kept += any(s.start < result.end and result.start < s.end for s in spans)
    return {
        "documents": len(documents),
        "theirs_ms": 1000 * median(seconds["theirs"]) / len(documents),
        "ours_ms": 1000 * median(seconds["ours"]) / len(documents),
        "ratio": median(seconds["theirs"]) / median(seconds["ours"]),
        "their_findings": wanted,
        "found_by_ours": kept / wanted if wanted else 1.0,
    }


_ASKED = frozenset(
    {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS"}
)
