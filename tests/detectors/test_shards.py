"""What several processes find is, byte for byte, what one finds; a worker that dies or breaks shortens nothing."""

import gzip
import json
import pickle
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import KilledWorker
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import hands, reading, shards
from detectors.corpus import open_corpus
from detectors.hands import Hands, check_scheduler, crew
from detectors.locate import search
from detectors.memory import Memory
from detectors.shards import Equipment, Errand, looked_at, made_with
from domain.errors import Code, DetectionFailed, ErasureError, RequestRejected, Unavailable
from domain.records import Owner, SensitiveSpan, SpanKind
from tests.detectors import crews
from tests.detectors.conftest import CARD, JON, MAREN
from tests.detectors.crews import (
    INDEX,
    JON_KNOWN,
    PART,
    equip,
    equip_and_always_die,
    equip_and_die,
    equip_and_fail,
    people,
)
from tests.detectors.test_locate import Broken
from tests.detectors.test_reading import PIECES

UNCERTAIN = "On 4 March 1987 it rained."
TEXTS = ["The ferry leaves at noon.", CARD, f"{JON} {CARD}", UNCERTAIN, "", "Zo\u00eb Maren Tolvik"]
MANY = [f"{text} {n}" for n in range(8) for text in TEXTS]


PLAIN = made_with({"exact": INDEX}, "text")


def errand(function=equip, *arguments, detectors=None):
    made = made_with(detectors, "text") if detectors else PLAIN
    return Errand(function, tuple(map(str, arguments)), "text", made)


SAME = errand()


def equip_broken(*_: str) -> Equipment:
    return equip()._replace(detectors={"exact": INDEX, "broken": Broken()})


@dataclass
class Here:
    """A crew of this process alone. What would travel is pickled all the same, and kept."""

    at_once: int = 3
    sent: list[bytes] = field(default_factory=list)

    def room(self):
        return self.at_once

    def submit(self, work, task):
        self.sent.append(pickle.dumps(task))
        answer = pickle.dumps(work(pickle.loads(self.sent[-1])))
        self.sent.append(answer)
        done = Future()
        done.set_result(pickle.loads(answer))
        return done

    def result(self, future):
        return future.result()

    def renew(self):
        raise AssertionError


class Adding:
    """A reviewer who adds the last word, and says what it was shown."""

    def __init__(self):
        self.shown = []

    def find(self, document, subject):
        return []

    def review(self, cases):
        self.shown += [(c.document.ref, c.subject.request_ref, tuple(c.found)) for c in cases]
        ends = [len(case.document.text) for case in cases]
        return [
            [SensitiveSpan(c.document.ref, n - 1, n, SpanKind.OTHER, Owner.SUBJECT, "adding", 0.9)]
            for c, n in zip(cases, ends, strict=True)
        ]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(reading, "PART", PART)
    yield
    shards.forget()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.table({"text": content}), path)
        elif name.endswith(".gz"):
            path.write_bytes(gzip.compress(content))
        else:
            path.write_bytes(content)
    return open_corpus(str(folder))


def lines(texts):
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def mixed(folder):
    return write(
        folder,
        {
            "a.jsonl": lines(MANY),
            "b.jsonl.gz": lines(MANY[5:]),
            "c.parquet": MANY,
            "d/e.txt": CARD.encode(),
            "d/f.txt": JON.encode(),
            "g.jsonl": b"\n" + lines(MANY[:9]) + b'{"text": "Maren Tolvik"}',
        },
    )


def ended(batches, memories=(), detectors=None):
    """What a search found and told, or the error with which it ended."""
    told = []
    try:
        found = search(batches, people(), detectors or {"exact": INDEX}, told.append, memories)
    except ErasureError as error:
        return type(error), error.code, error.place, error.remedy, error.request_ref
    return found, told


ROWS = st.lists(
    st.one_of(
        st.sampled_from([lines([text]) for text in TEXTS]), PIECES, st.sampled_from([b"\n"] * 2)
    ),
    max_size=12,
).map(b"".join)
CORPORA = st.dictionaries(
    st.sampled_from(["a.jsonl", "b.jsonl", "c.ndjson", "d.jsonl.gz", "e.txt"]),
    ROWS,
    min_size=1,
    max_size=4,
)


@settings(max_examples=100)
@given(CORPORA, st.integers(20, 400), st.integers(400, 900), st.integers(1, 5))
def test_workers_find_what_one_process_finds_or_stop_as_it_does(
    tmp_path_factory, files, part, longest, at_once
):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"LONGEST": longest, "_LOOK": 7}.items():
            patch.setattr(reading, name, value)
        patch.setattr(reading, "PART", part)
        patch.setattr(crews, "PART", part)
        corpus = write(tmp_path_factory.mktemp("corpus"), files)
        one, other = ([Memory("b"), Memory("b")] for _ in range(2))
        alone = ended(corpus.batches(), one)
        assert ended(looked_at(corpus, SAME, Here(at_once))) == alone
        assert ended(looked_at(corpus, SAME, Here(at_once)), other) == alone
        assert [memory.dump() for memory in one] == [memory.dump() for memory in other]


@given(st.lists(PIECES, max_size=40), st.integers(1, 30), st.integers(30, 60))
def test_a_file_is_cut_into_the_stretches_it_is_read_in(tmp_path_factory, pieces, part, longest):
    file = tmp_path_factory.mktemp("file") / "a.jsonl"
    file.write_bytes(b"".join(pieces))

    def cut():
        before = 0
        for stretch in reading.stretches(file):
            for one in reading.read(file, "text", stretch._replace(before=before)):
                yield one
                before = one.last

    def read(parts):
        found = []
        try:
            found += ((one.digest(), one.last, list(one.rows())) for one in parts)
        except reading.TooLongError as error:
            found.append(error.row)
        return found

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PART": part, "LONGEST": longest, "_LOOK": 5}.items():
            patch.setattr(reading, name, value)
        assert read(cut()) == read(reading.read(file, "text"))


def test_neither_texts_nor_identifiers_travel(tmp_path):
    corpus, here = mixed(tmp_path), Here()
    found, _ = ended(looked_at(corpus, errand(), here))
    assert len(here.sent) > 20
    assert found[0].spans
    sent = b"".join(here.sent)
    assert b"b.jsonl.gz" in sent
    for text in (*MAREN.values(), *JON_KNOWN.values(), "Tolvik", "ferry", "rained", "account"):
        assert text.encode() not in sent


def test_what_memories_know_is_not_looked_at_again(tmp_path):
    corpus = mixed(tmp_path / "corpus")
    memories, whole = [Memory("b"), Memory("b")], Here()
    found = ended(looked_at(corpus, errand(), whole), memories)
    names = [tmp_path / "one", tmp_path / "two"]
    for name, memory in zip(names, memories, strict=True):
        name.write_bytes(memory.dump())
    with (tmp_path / "corpus" / "a.jsonl").open("ab") as file:
        file.write(lines([CARD]))
    again = [Memory.load(name.read_bytes(), "b") for name in names]
    here = Here()
    assert ended(looked_at(corpus, errand(equip, *names), here), again) == ended(corpus.batches())
    read = [
        batch.texts
        for sent in here.sent
        for answer in pickle.loads(sent)
        if isinstance(answer, shards.Answer)
        for batch in answer.found
    ]
    assert found[0][0].documents + 1 == ended(corpus.batches())[0][0].documents
    assert len([texts for texts in read if texts is not None]) == 1
    assert len(read) > 20


@pytest.mark.parametrize("unknown", [0, 1, 2])
def test_a_worker_that_knows_more_than_this_process_makes_it_look_itself(tmp_path, unknown):
    corpus = mixed(tmp_path / "corpus")
    memories = [Memory("b"), Memory("b")]
    ended(corpus.batches(), memories)
    names = [tmp_path / "one", tmp_path / "two"]
    for number, (name, memory) in enumerate(zip(names, memories, strict=True)):
        name.write_bytes((Memory("b") if number < unknown else memory).dump())
    fresh = [Memory("b"), Memory("b")]
    known = looked_at(corpus, errand(equip, *names), Here())
    assert ended(known, fresh) == ended(corpus.batches())
    assert [m.dump() for m in fresh] == [m.dump() for m in memories]


def test_reviewers_stay_here_and_see_what_workers_found(tmp_path):
    corpus = mixed(tmp_path)
    one, other = Adding(), Adding()
    alone = ended(corpus.batches(), detectors={"exact": INDEX, "adding": one})
    detectors = {"exact": INDEX, "adding": other}
    looked = looked_at(corpus, errand(detectors=detectors), Here())
    assert ended(looked, detectors=detectors) == alone
    assert one.shown == other.shown
    assert len(one.shown) > 50


def test_a_detector_that_breaks_in_a_worker_stops_the_search_as_it_would_here(tmp_path):
    corpus = mixed(tmp_path)
    detectors = {"exact": INDEX, "broken": Broken()}
    looked = looked_at(corpus, errand(equip_broken, detectors=detectors), Here())
    error = ended(looked, detectors=detectors)
    assert error[:3] == (DetectionFailed, Code.DETECTOR_BROKE, "detector broken at a.jsonl#2")
    assert error == ended(corpus.batches(), detectors=detectors)


@pytest.mark.parametrize(
    ("function", "made", "said"),
    [
        (equip_and_fail, {}, "unexpected RuntimeError"),
        (equip, {"broken": Broken()}, "its code, libraries, policy or models"),
    ],
)
def test_a_failure_of_a_workers_own_stops_the_search_and_says_why(tmp_path, function, made, said):
    there = errand(function, detectors={"exact": INDEX} | made)
    kind, code, place, remedy, _ = ended(looked_at(mixed(tmp_path), there, Here()))
    assert (kind, code) == (DetectionFailed, Code.WORKER_FAILED)
    assert place == "a worker, at corpus file a.jsonl"
    assert said in remedy
    assert "Tolvik" not in remedy


@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl.gz", "c.parquet", "d/e.txt"])
def test_a_file_that_is_changed_before_its_texts_are_read_again_is_an_error(tmp_path, name):
    corpus = mixed(tmp_path)
    for batch in looked_at(corpus, errand(), Here(99)):
        if batch.name == name and any(batch.looked.values()):
            break
    path = tmp_path / name
    write(tmp_path, {name: MANY[:7] if name == "c.parquet" else b"\n" * path.stat().st_size})
    with pytest.raises(RequestRejected) as caught:
        list(batch.slices())
    assert (caught.value.code, caught.value.place) == (
        Code.CORPUS_UNREADABLE,
        f"corpus file {name}",
    )


def test_one_piece_is_searched_here(tmp_path):
    corpus = write(tmp_path, {"a.txt": CARD.encode(), "b.txt": b"x"})
    found, _ = ended(looked_at(corpus, errand(), None))
    assert found[0].candidates == 1


def test_real_workers_find_the_same_and_one_that_dies_in_the_middle_shortens_nothing(tmp_path):
    corpus = mixed(tmp_path / "corpus")
    with crew(Hands(workers=2), shards.forget) as workers:
        there = errand(equip_and_die, tmp_path / "died")
        assert ended(looked_at(corpus, there, workers)) == ended(corpus.batches())
    assert (tmp_path / "died").exists()


def test_workers_that_die_again_and_again_are_an_error(tmp_path):
    with crew(Hands(workers=1), shards.forget) as workers:
        kind, code, place, remedy, _ = ended(
            looked_at(mixed(tmp_path), errand(equip_and_always_die), workers)
        )
    assert (kind, code, place) == (DetectionFailed, Code.WORKER_FAILED, "the workers")
    assert "3 of them died" in remedy


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://10.0.0.7:8786", "only encrypted"),
        ("tcp://scheduler:8786", "only encrypted"),
        ("10.0.0.7:8786", "no address"),
        ("http://127.0.0.1:8786", "no address"),
        ("tcp://127.0.0.1", "no address"),
        ("tcp://127.0.0.1:port", "no address"),
        ("tls://10.0.0.7:8786", "certificates"),
    ],
)
def test_a_scheduler_elsewhere_is_spoken_to_encrypted_or_not_at_all(address, said):
    with pytest.raises(RequestRejected) as caught, crew(Hands(scheduler=address), shards.forget):
        pass
    assert (caught.value.code, caught.value.place) == (Code.SETTING_INVALID, "LETHE_SCHEDULER")
    assert said in caught.value.remedy


def test_a_crew_that_shrinks_does_what_was_handed_out():
    class Shrinking(Here):
        def room(self):
            self.at_once -= 1
            return self.at_once + 1

    assert list(hands.in_order(Shrinking(3), abs, range(-9, 0))) == [
        (-n, n) for n in range(9, 0, -1)
    ]


class Cluster:
    """A client and a future in one, of a cluster in some plight."""

    status = "running"

    def __init__(self, plight, threads):
        self.plight = plight
        self.threads = threads

    def nthreads(self):
        return self.threads

    def result(self, timeout):
        raise self.plight


@pytest.mark.parametrize(
    ("plight", "kind", "said"),
    [
        (TimeoutError(), Unavailable, "no worker"),
        (CancelledError(), Unavailable, "broke off"),
        (ConnectionResetError(), Unavailable, "broke off"),
        (KilledWorker("look-1", None, 3), DetectionFailed, "3 of them died"),
        (ModuleNotFoundError("Tolvik"), DetectionFailed, "ModuleNotFoundError"),
    ],
)
def test_a_cluster_in_trouble_is_an_error_without_its_words(monkeypatch, plight, kind, said):
    monkeypatch.setattr(hands, "_PATIENCE", 0.0)
    cluster = Cluster(plight, {})
    with pytest.raises(kind) as caught:
        hands._Cluster(cluster).result(cluster)
    assert said in caught.value.remedy
    assert "Tolvik" not in caught.value.remedy
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://[::1]:1", "tls://far:8786"])
def test_these_are_not_refused(address):
    check_scheduler(address)
