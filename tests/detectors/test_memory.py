"""A search with a memory finds what one without finds, and looks only at what is new."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import basis as basis_module
from detectors import reading
from detectors.basis import bases
from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.locate import in_batches, search
from detectors.memory import Memory, Seen
from detectors.presidio import PresidioDetector
from domain.errors import DetectionFailed, RequestRejected
from domain.records import Owner, SensitiveSpan, SpanKind
from tests.detectors.conftest import CARD, JON, document, person
from tests.detectors.test_locate import Broken

UNCERTAIN = "On 4 March 1987 it rained."
TEXTS = ["The ferry leaves at noon.", CARD, f"{JON} {CARD}", UNCERTAIN, "", "Zo\u00eb Maren Tolvik"]
MANY = [f"{text} {n}" for n in range(4) for text in TEXTS]


class Counted(ExactIndex):
    """An index that knows how many documents it has looked at closely."""

    looked = 0

    def find(self, document, subject, among=None):
        type(self).looked += 1
        return super().find(document, subject, among)


@pytest.fixture
def counted():
    Counted.looked = 0
    return {"exact": Counted()}


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """A batch of a few lines, so that a small file has many."""
    monkeypatch.setattr(reading, "PART", 300)


def lines(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")


def again(memory):
    """As the next process gets it."""
    return Memory.load(memory.dump(), memory.basis)


def look(path, subjects, detectors, memories=()):
    return search(open_corpus(str(path)).batches(), subjects, detectors, memories=memories)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.txt"])
def test_what_is_remembered_is_what_was_found_and_nothing_is_looked_at_again(
    tmp_path, maren, counted, name
):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table({"text": TEXTS}), path)
    elif name == "a.txt":
        path.write_text(" ".join(TEXTS), "utf-8")
    else:
        lines(path, TEXTS)
    plain = look(path, [maren], counted)
    memory = Memory("b")
    assert look(path, [maren], counted, [memory]) == plain
    assert plain[0].spans
    before = Counted.looked
    assert look(path, [maren], counted, [again(memory)]) == plain
    assert Counted.looked == before


def test_only_the_lines_that_were_added_are_looked_at(tmp_path, maren, counted):
    path = tmp_path / "a.jsonl"
    lines(path, MANY)
    memory = Memory("b")
    look(path, [maren], counted, [memory])
    whole, memory = Counted.looked, again(memory)
    lines(path, [*MANY, CARD])
    found = look(path, [maren], counted, [memory])
    assert 0 < Counted.looked - whole < whole / 2
    assert found == look(path, [maren], {"exact": ExactIndex()})


def test_a_changed_line_is_looked_at_again(tmp_path, maren, counted):
    path = tmp_path / "a.jsonl"
    lines(path, [JON, *TEXTS])
    memory = Memory("b")
    look(path, [maren], counted, [memory])
    lines(path, [JON.replace("Jon Aske", "M. Tolvik"), *TEXTS])
    found = look(path, [maren], counted, [again(memory)])
    assert found == look(path, [maren], {"exact": ExactIndex()})
    assert found[0].spans[0].document == "a.jsonl#1"


def test_the_same_texts_at_another_place_keep_their_own_names(tmp_path, maren, counted):
    lines(tmp_path / "a.jsonl", [CARD])
    memory = Memory("b")
    look(tmp_path, [maren], counted, [memory])
    lines(tmp_path / "b.jsonl", [CARD])
    [found] = look(tmp_path, [maren], counted, [again(memory)])
    assert Counted.looked == 1
    assert [p.ref for p in found.passages] == ["a.jsonl#1", "b.jsonl#1"]
    assert {s.document for s in found.spans} == {"a.jsonl#1", "b.jsonl#1"}


def test_lines_and_a_text_with_the_same_bytes_are_not_the_same(tmp_path, maren, counted):
    lines(tmp_path / "a.jsonl", [CARD])
    memory = Memory("b")
    look(tmp_path, [maren], counted, [memory])
    (tmp_path / "a.jsonl").rename(tmp_path / "a.txt")
    found = look(tmp_path, [maren], counted, [again(memory)])
    assert Counted.looked == 2
    assert found == look(tmp_path, [maren], {"exact": ExactIndex()})


def test_a_search_that_stopped_goes_on_where_it_was(tmp_path, maren, counted):
    path = tmp_path / "a.jsonl"
    lines(path, MANY)
    memory, batches = Memory("b"), open_corpus(str(path)).batches()

    def stop(done):
        if done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(batches, [maren], counted, stop, [memory])
    begun, memory = Counted.looked, again(memory)
    found = look(path, [maren], counted, [memory])
    total = Counted.looked
    assert found == look(path, [maren], counted)
    assert 0 < begun < total == Counted.looked - total


def test_one_who_is_new_is_looked_for_and_the_others_are_remembered(tmp_path, maren, counted):
    jon = person(name="Jon Aske", phone="917-555-0188")
    path = tmp_path / "a.jsonl"
    lines(path, TEXTS)
    memory = Memory("b")
    look(path, [maren], counted, [memory])
    known = Counted.looked
    memories = [again(memory), Memory("b")]
    together = look(path, [maren, jon], counted, memories)
    assert Counted.looked == known + 1  # the one document that names him
    assert together == look(path, [maren, jon], {"exact": ExactIndex()})


def test_what_is_no_longer_there_is_forgotten_at_the_end(tmp_path, maren, counted):
    path = tmp_path / "a.jsonl"
    lines(path, [CARD])
    memory = Memory("b")
    look(path, [maren], counted, [memory])
    old = memory.dump()
    lines(path, [JON])
    memory = again(memory)
    look(path, [maren], counted, [memory])
    assert memory.changed
    one, other = (json.loads(content)["seen"].keys() for content in (old, memory.dump()))
    assert len(one) == len(other) == 1
    assert one != other


def test_a_search_that_finds_all_as_it_was_changes_nothing(tmp_path, maren, counted):
    path = tmp_path / "a.jsonl"
    lines(path, TEXTS)
    memory = Memory("b")
    look(path, [maren], counted, [memory])
    kept = again(memory)
    look(path, [maren], counted, [kept])
    assert memory.changed
    assert not kept.changed
    assert kept.dump() == memory.dump()


def test_a_batch_with_a_corrupt_line_is_never_remembered(tmp_path, maren, counted):
    path = tmp_path / "a.jsonl"
    lines(path, TEXTS)
    path.write_text(path.read_text("utf-8") + '{"text": "broken\n', "utf-8")
    memory = Memory("b")
    for _ in range(2):
        with pytest.raises(RequestRejected) as caught:
            look(path, [maren], counted, [memory])
        assert "a.jsonl#7" in caught.value.place
        memory = again(memory)


def test_a_detector_that_breaks_is_met_again(maren):
    memory = Memory("b")
    detectors = {"exact": ExactIndex(), "broken": Broken()}
    for _ in range(2):
        with pytest.raises(DetectionFailed):
            search(in_batches([document(CARD)]), [maren], detectors, memories=[memory])


def test_a_memory_on_another_basis_is_empty():
    memory = Memory("b")
    memory.keep(b"digest", Seen(1, {}))
    assert Memory.load(memory.dump(), "b").seen(b"digest") == Seen(1, {})
    assert Memory.load(memory.dump(), "c").seen(b"digest") is None
    assert Memory.load(None, "b").seen(b"digest") is None


def test_the_basis_is_another_when_anything_that_decides_is_another(tmp_path, monkeypatch):
    detectors = {"exact": ExactIndex(), "presidio": PresidioDetector()}
    subject = person(name="Maren Tolvik")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    named = {"presidio": PresidioDetector(model=str(tmp_path / "model"))}

    def basis(detectors=detectors, subject=subject, field="text"):
        return bases(detectors, [subject], field)[0]

    seen = [
        basis(),
        basis(field="body"),
        basis(subject=person(name="Maren Tolvig")),
        basis(subject=person(alias="Maren Tolvik")),
        basis({**detectors, "exact": ExactIndex(("DE",))}),
        basis({**detectors, "presidio": PresidioDetector(threshold=0.5)}),
        basis(named),
    ]
    (tmp_path / "model" / "weights").write_bytes(b"2")
    seen.append(basis(named))
    monkeypatch.setattr(basis_module, "_OURS", (tmp_path,))
    seen.append(basis())
    assert len(set(seen)) == len(seen)
    assert basis() == basis()
    assert bases(detectors, [subject, subject], "text") == [basis()] * 2


spans = st.builds(
    lambda start, length, kind, owner, confidence: SensitiveSpan(
        "", start, start + length, kind, owner, "exact", confidence
    ),
    st.integers(0, 10**9),
    st.integers(1, 99),
    st.sampled_from(SpanKind),
    st.sampled_from(Owner),
    st.floats(0, 1),
)
seens = st.builds(
    Seen,
    st.integers(1, 9999),
    st.dictionaries(st.integers(0, 99), st.lists(spans, min_size=1).map(tuple), max_size=3),
)


@given(st.dictionaries(st.binary(min_size=32, max_size=32), seens, max_size=4))
def test_a_memory_is_read_back_as_it_was(batches):
    memory = Memory("b")
    for digest, seen in batches.items():
        memory.keep(digest, seen)
    read = again(memory)
    assert {digest: read.seen(digest) for digest in batches} == batches


def test_a_memory_shows_nothing():
    assert "secret-basis" not in repr(Memory("secret-basis"))
