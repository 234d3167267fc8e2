"""A corpus is searched once for all requests of a batch, and a search that was killed goes on where it stopped."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest

from detectors import reading
from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.locate import search
from detectors.net import Net
from domain.errors import Code, RequestRejected
from domain.lifecycle import Event
from domain.records import Identifier, IdentifierKind
from domain.secrecy import Secret
from flows import build, desk, memories
from flows.bench import Bench, Stores, open_stores
from flows.doctor import examine
from flows.intake import file_request, load_request, read_request
from flows.lease import Leases
from flows.search import keep_spans, locate_corpus, search_corpus, search_together
from flows.vault import BLOBS
from tests.flows.conftest import Home

NAMES = ["Wilhelmina Zauberlinde", "Jon Aske", "Maren Tolvik", "Quenlyra Vostrumbel"]


def request(name: str, corpora: str = "letters") -> str:
    return f"names: [{name}]\nscope: {{models: [one], corpora: [{corpora}]}}\nground: b\n"


@pytest.fixture
def letters(lethe_home):
    """A corpus of two files, with a hundred lines that name somebody."""
    (lethe_home / "letters.txt").unlink()
    folder = lethe_home / "letters"
    folder.mkdir()
    (lethe_home / "catalog.yaml").write_text(
        "corpora:\n  letters: {path: letters}\n  archive: {path: letters/a.jsonl}\n"
        "models:\n  one: {path: model, corpora: [letters]}\n"
    )
    rows = [f"{n}: {NAMES[n % 5]} wrote." if n % 5 < 3 else f"{n}: rain." for n in range(100)]
    for name, some in (("a.jsonl", rows[:70]), ("b.jsonl", rows[70:])):
        (folder / name).write_text("".join(json.dumps({"text": r}) + "\n" for r in some))
    return folder


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(reading, "PART", 400)


@dataclass
class Looked:
    """How many texts the nets were given, and for how many people each time."""

    texts: int = 0
    people: tuple[int, ...] = ()


@pytest.fixture
def looked(monkeypatch):
    counts, catch = Looked(), Net.catch

    def counted(self, texts):
        counts.texts += len(texts)
        counts.people += (len(self.subjects),)
        return catch(self, texts)

    monkeypatch.setattr(Net, "catch", counted)
    return counts


@pytest.fixture
def filed(letters, home: Home):
    def file(*words: str, known: tuple[Identifier, ...] = ()) -> str:
        wanted = read_request(home.write(request(*words)), home.catalog)
        if known:
            wanted = replace(wanted, subject=replace(wanted.subject, identifiers=known))
        return file_request(wanted, home.policy, home.engine, home.vault, home.ledger)

    return file


@pytest.fixture
def stores(home):
    with open_stores() as stores:
        yield stores


def run_of(stores: Stores, ref: str) -> Bench:
    """The beginning of a request's own run: spans and commitment."""
    bench = Bench(stores, load_request(ref, stores.vault), None, 1, Leases(stores.engine))
    stores.ledger.append(ref, Event.STARTED, {"run": 1})
    for name in bench.request.corpora:
        locate_corpus.fn(bench, name)
    return bench


def test_a_batch_searches_each_corpus_once_and_every_run_has_the_spans_of_a_search_of_its_own(
    filed, stores, looked
):
    refs = [filed(name, "letters, archive") for name in NAMES]
    search_together.fn(refs)
    assert (looked.texts, set(looked.people)) == (100 + 70, {len(NAMES)})
    for ref, spans in zip(refs, [20 + 14, 20 + 14, 20 + 14, 0], strict=True):
        subject = load_request(ref, stores.vault).subject
        bench = run_of(stores, ref)
        assert looked.texts == 170
        together = keep_spans.fn(bench)
        assert bench.spans == spans
        for corpus in bench.request.corpora:
            files = open_corpus(stores.catalog.corpus(corpus).path)
            assert [bench.located[corpus]] == search(
                files.batches(), [subject], build.detectors(stores.policy)
            )
            stores.vault.remove(ref, memories.kind(corpus))
        kept = stores.vault.get(ref, "spans")
        alone = run_of(stores, ref)
        assert keep_spans.fn(alone) == together
        assert stores.vault.get(ref, "spans") == kept
        assert looked.texts == 170 + 2 * 170
        looked.texts = 170


def test_one_who_cannot_be_searched_for_stops_nobody_elses_search(filed, stores, looked):
    signs = filed(NAMES[2], known=(Identifier(IdentifierKind.RECORD_ID, Secret("--")),))
    refs = [filed(NAMES[0]), signs, filed(NAMES[1])]
    search_together.fn(refs)
    assert set(looked.people) == {2}
    seen = looked.texts
    for ref in (refs[0], refs[2]):
        assert run_of(stores, ref).spans == 20
    assert looked.texts == seen
    with pytest.raises(RequestRejected) as caught:
        run_of(stores, signs)
    assert caught.value.code is Code.REQUEST_NO_IDENTIFIERS


def test_a_corpus_that_is_broken_is_told_by_every_run(filed, stores, letters):
    refs = [filed(name) for name in NAMES[:2]]
    with (letters / "a.jsonl").open("a") as file:
        file.write('{"text": 5}\n')
    search_together.fn(refs)
    for ref in refs:
        with pytest.raises(RequestRejected) as caught:
            run_of(stores, ref)
        assert caught.value.code is Code.CORPUS_CORRUPT
        assert "a.jsonl#71" in caught.value.place


def test_a_request_that_cannot_be_read_stops_nobody_elses_search(filed, stores, looked):
    refs = [filed(name) for name in NAMES[:3]]
    stores.vault.shred(refs[1])
    search_together.fn(refs)
    assert looked.texts == 100
    assert run_of(stores, refs[2]).spans == 20
    assert looked.texts == 100


def test_a_line_that_changed_after_the_batch_is_searched_again(filed, stores, letters, looked):
    refs = [filed(name) for name in NAMES[:2]]
    search_together.fn(refs)
    file = letters / "b.jsonl"
    file.write_text(file.read_text().replace("99: rain.", "99: by Jon Aske."))
    assert run_of(stores, refs[1]).spans == 21
    assert 100 < looked.texts < 130


def test_nothing_of_the_person_rests_in_clear(filed, stores, home):
    ref = filed(NAMES[0])
    search_together.fn([ref, filed(NAMES[1])])
    with stores.engine.connect() as connection:
        kinds = {row.kind for row in connection.execute(BLOBS.select())}
    assert kinds == {"request", "search/letters"}
    assert b"seen" in stores.vault.get(ref, memories.kind("letters"))
    raw = b"".join(p.read_bytes() for p in home.settings.home.rglob("*") if p.is_file())
    for text in (NAMES[0], "Zauberlinde", "a.jsonl", '"seen"', '"basis"'):
        assert text.encode() not in raw


def test_a_request_that_ended_leaves_no_memory(filed, stores):
    ref = filed(NAMES[0], "letters, archive")
    bench = run_of(stores, ref)
    assert stores.vault.get(ref, memories.kind("letters"))
    memories.forget(stores, bench.request, bench.detectors)
    assert [stores.vault.get(ref, memories.kind(c)) for c in bench.request.corpora] == [None, None]


SCRIPT = """
import json, os, signal, sys
from detectors import net, reading
from detectors.exact import ExactIndex
from flows import memories
from flows.bench import open_stores
from flows.intake import load_request
from flows.search import search_corpus

reading.PART = 400
memories.SECONDS, memories.SHARE = 0.0, 1e9  # kept after each batch
dies_after, refs = int(sys.argv[1]), sys.argv[2:]
looked, catch = 0, net.Net.catch

def counted(self, texts):
    global looked
    if dies_after and looked >= dies_after:
        os.kill(os.getpid(), signal.SIGKILL)
    looked += len(texts)
    return catch(self, texts)

net.Net.catch = counted
with open_stores() as stores:
    requests = [load_request(ref, stores.vault) for ref in refs]
    found = search_corpus(stores, requests, {"exact": ExactIndex()}, "letters")
spans = [[[s.document, s.start, s.end, s.kind, s.confidence] for s in one.spans] for one in found]
print(json.dumps({"looked": looked, "documents": found[0].documents, "spans": spans}))
"""


def searching(dies_after: int, *refs: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(dies_after), *refs]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_search_that_was_killed_goes_on_where_it_stopped(filed):
    refs = [filed(name) for name in NAMES]
    killed = searching(40, *refs[:2])
    assert (killed.returncode, killed.stdout) == (-9, ""), killed.stderr
    resumed, undisturbed = (
        json.loads(searching(0, *two).stdout) for two in (refs[:2], [filed(n) for n in NAMES[:2]])
    )
    assert undisturbed["looked"] == 100
    assert 0 < resumed["looked"] <= 60
    assert resumed["documents"] == undisturbed["documents"] == 100
    assert resumed["spans"] == undisturbed["spans"]
    assert [len(spans) for spans in resumed["spans"]] == [20, 20]


def test_what_a_killed_search_knew_is_not_believed_when_the_file_has_changed(filed, letters):
    ref = filed(NAMES[1])
    assert searching(40, ref).returncode == -9
    file = letters / "a.jsonl"
    file.write_text(file.read_text().replace("3: rain", "3: Jon Aske", 1))
    resumed = json.loads(searching(0, ref).stdout)
    assert ["a.jsonl#4", 3, 11, "person", 1.0] in resumed["spans"][0]
    assert len(resumed["spans"][0]) == 21


def test_another_detector_searches_again(filed, stores, looked):
    wanted = [load_request(filed(NAMES[0]), stores.vault)]
    for regions, texts in ((("US",), 100), (("US",), 100), (("DE",), 200)):
        search_corpus(stores, wanted, {"exact": ExactIndex(regions)}, "letters")
        assert looked.texts == texts


def test_the_doctor_says_who_searches(lethe_home, monkeypatch):
    found = [next(f for f in examine() if f.check == "workers")]
    monkeypatch.setenv("LETHE_WORKERS", "3")
    found.append(next(f for f in examine() if f.check == "workers"))
    monkeypatch.setenv("LETHE_SCHEDULER", "tcp://elsewhere:8786")
    found.append(next(f for f in examine() if f.check == "workers"))
    assert [f.ok for f in found] == [True, True, False]
    assert [f.detail for f in found[:2]] == ["1 on this machine", "3 on this machine"]
    assert "only encrypted" in found[2].detail


def test_a_long_write_makes_the_next_one_late(filed, stores, monkeypatch):
    clock = iter(range(0, 1000, 7))
    monkeypatch.setattr(memories.time, "monotonic", lambda: float(next(clock)))
    kept = memories.Memories(stores, "letters", {})
    kept.keep()
    assert kept._due == 14 + 7 / memories.SHARE


def test_locate_goes_on_from_what_is_remembered_and_remembers_nothing_of_an_ended_request(
    filed, stores, looked
):
    ref = filed(NAMES[0])
    assert desk.find(ref, reveal=False)[0]["spans"] == 20
    assert looked.texts == 100
    assert len(desk.find(ref, reveal=True)[0]["texts"]) == 20
    assert run_of(stores, ref).spans == 20
    assert looked.texts == 100
    for event in (Event.LOCATED, Event.EVIDENCED, Event.NO_MATCH):
        stores.ledger.append(ref, event)
    desk.find(ref, reveal=False)
    assert stores.vault.get(ref, memories.kind("letters")) is None
