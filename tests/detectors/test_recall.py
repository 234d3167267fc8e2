"""Made-up people like the subject are planted and searched for; what was found of them is what the evidence says."""

import random
import re
import unicodedata
from datetime import date

import phonenumbers
import pytest

from detectors import reading, recall, written
from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.folding import fold
from detectors.locate import search
from detectors.lookalikes import lookalike
from detectors.planting import BESIDE, plant
from detectors.recall import Texts, measure
from domain.errors import DetectionFailed
from domain.intervals import rate
from domain.records import IdentifierKind, Owner, SensitiveSpan, SpanKind
from flows.fiction import ordinary, people
from tests.detectors.conftest import MAREN, document, person

TEXTS = [text for one in people(10, seed=1) for text in one.documents()] + ordinary(20, seed=1)


def values(subject):
    return {identifier.kind.value: identifier.value.reveal() for identifier in subject.identifiers}


def form(value):
    """Letters and digits by their sort; everything else as it is."""
    return re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "9", value)))


def test_a_lookalike_has_the_subjects_form_and_nothing_of_their_own(maren):
    own = values(maren)
    for seed in range(20):
        drawn = values(lookalike(maren, "l", random.Random(seed)))
        assert drawn.keys() == own.keys()
        for kind, value in drawn.items():
            assert fold(value).text != fold(own[kind]).text
            if kind != "birth_date":
                assert form(value) == form(own[kind])
        assert not {*drawn["name"].lower().split()} & {*own["name"].lower().split()}
        assert drawn["email"] == ".".join(drawn["name"].lower().split()) + "@example.org"
        assert drawn["phone"].startswith("212-555-")
        assert "Lane" in drawn["address"]
        date.fromisoformat(drawn["birth_date"])


def test_a_lookalike_keeps_accents_and_particles():
    drawn = values(lookalike(person(name="Ödön van der Bärg"), "l", random.Random(3)))["name"]
    first, *particles, last = drawn.split()
    assert particles == ["van", "der"]
    assert (first[0], last[1]) == ("Ö", "ä")


@pytest.mark.parametrize("given", [{"name": "山田太郎"}, {"name": "Maren Tolvik", "alias": "東京"}])
def test_who_has_nothing_to_exchange_has_no_lookalike_and_nothing_is_measured(given, maren):
    assert lookalike(person(**given), "l", random.Random(0)) is None
    detectors = {"exact": ExactIndex()}
    assert measure(person(**given), detectors, TEXTS, 20, random.Random(0)) is None
    assert measure(maren, detectors, [], 20, random.Random(0)) is None
    assert measure(maren, detectors, TEXTS, 0, random.Random(0)) is None


def ways_of(kind):
    ways = {
        "name": written.NAMES,
        "email": written.EMAILS,
        "phone": written.phones("US"),
        "record_id": written.RECORDS,
        "address": written.ADDRESSES,
        "birth_date": written.DATES,
    }
    return [way(MAREN[kind]) for way in ways[kind]]


def test_every_way_of_writing_writes_the_same_value():
    for kind in ("phone", "record_id"):
        digits = "".join(c for c in MAREN[kind] if c.isdigit())
        for way in ways_of(kind):
            inside = way.split(written.EDGE)[1] if written.EDGE in way else way
            assert "".join(c for c in inside if c.isdigit()).endswith(digits)
    assert phonenumbers.parse(ways_of("phone")[-3], "US").national_number == 2125550137
    letters = sorted(MAREN["name"].replace(" ", "").lower())
    whole = [w for w in ways_of("name") if len(re.findall(r"[^\W_]", w)) == len(letters)]
    assert len(whole) > 6
    for way in whole:
        plain = unicodedata.normalize("NFC", way)
        assert sorted(c for c in plain.lower() if c.isalpha()) == letters
    assert len({*ways_of("birth_date")}) == len(written.DATES)


@pytest.mark.parametrize("kind", ["email", "phone", "record_id", "name"])
def test_the_search_knows_every_way_in_which_an_identifier_is_written(kind, maren):
    """But for a slip of the pen, which is left to a person."""
    for way in ways_of(kind)[: -1 if kind == "name" else None]:
        before, inside, behind = way.split(written.EDGE) if written.EDGE in way else ("", way, "")
        text = f"Please note {before}{inside}{behind} here."
        spans = ExactIndex().find(document(text), maren)
        found = "".join(text[s.start : s.end] for s in spans if s.owner is Owner.SUBJECT)
        bare = [c for c in inside if c.isalnum()]
        assert [c for c in found if c.isalnum()] == bare, way


def test_what_is_planted_stands_where_it_is_said_to_stand(maren):
    drawn = [lookalike(maren, f"l{n}", random.Random(n)) for n in range(3)]
    planted = plant(drawn, [*TEXTS, "x " * 5000], 300, ("US",), random.Random(1))
    assert {one.kind for one in planted} == {i.kind.value for i in maren.identifiers} | {BESIDE}
    assert {one.person for one in planted} == {0, 1, 2}
    for one in planted:
        text = one.document.text.reveal()
        assert len(text) < 2500
        said = text[one.start : one.end]
        assert said
        assert said == said.strip()
        assert "\0" not in text
        assert written.EDGE not in text
        given = values(drawn[one.person])
        if one.kind in {"phone", "record_id"}:
            assert "".join(filter(str.isdigit, said))[-4:] == given[one.kind].replace("-", "")[-4:]
        if one.kind in {"birth_date", "address", BESIDE}:
            assert given["name"] in text
    assert len({one.document.ref for one in planted}) == 300


class Finds:
    """A detector that finds a share of what is there."""

    def __init__(self, *, broken=False):
        self.broken = broken

    def find(self, asked, subject):
        if self.broken:
            raise KeyError(asked.text.reveal())
        return [
            SensitiveSpan(asked.ref, m.start(), m.end(), SpanKind.PHONE, Owner.UNCERTAIN, "f", 0.9)
            for m in re.finditer(r"\d{3}-555-\d{4}", asked.text.reveal())
        ]


def test_the_recall_is_the_share_of_planted_data_that_is_wholly_covered(maren, presidio):
    both = measure(
        maren, {"exact": ExactIndex(), "presidio": presidio}, TEXTS, 200, random.Random(2)
    )
    alone = measure(maren, {"exact": ExactIndex()}, TEXTS, 200, random.Random(2))
    for found in (both, alone):
        assert found.found == rate(found.found.hits, 200)
        assert sum(e.trials for e in found.by_kind.values()) == 200
        assert sum(e.hits for e in found.by_kind.values()) == found.found.hits
    assert both.by_kind[BESIDE].hits > 0.5 * both.by_kind[BESIDE].trials
    assert alone.by_kind[BESIDE].hits == 0  # the index knows only what the request names
    assert both.found.value > 0.9
    assert {k for k, e in both.by_kind.items() if e.low > 0.8} >= {"email", "phone", "record_id"}


def test_an_index_that_forgets_a_way_of_writing_has_less_recall(maren, monkeypatch):
    from detectors import exact

    whole = measure(maren, {"exact": ExactIndex()}, TEXTS, 120, random.Random(4))
    forms = exact._FORMS | {IdentifierKind.EMAIL: lambda v: exact.email_forms(v)[:0]}
    monkeypatch.setattr(exact, "_FORMS", forms)
    without = measure(maren, {"exact": ExactIndex()}, TEXTS, 120, random.Random(4))
    assert without.by_kind["email"].hits == 0 < whole.by_kind["email"].hits
    assert without.by_kind["phone"] == whole.by_kind["phone"]


def test_a_detector_that_breaks_is_an_error_and_never_a_low_recall(maren):
    detectors = {"exact": ExactIndex(), "finds": Finds(broken=True)}
    with pytest.raises(DetectionFailed) as failed:
        measure(maren, detectors, TEXTS, 40, random.Random(5))
    assert "Parcels" not in failed.value.sentence
    assert failed.value.request_ref.startswith(maren.request_ref)


def test_reviewers_are_not_asked_about_nobody(maren):
    class Reviewing(Finds):
        def review(self, cases):
            raise AssertionError

    detectors = {"exact": ExactIndex(), "reviewing": Reviewing(broken=True)}
    assert measure(maren, detectors, TEXTS, 20, random.Random(6)) is not None


def test_texts_are_drawn_from_what_goes_by_without_those_about_the_person(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PART", 200)
    rows = [f'{{"text": "row {n} of the corpus"}}\n' for n in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(rows))
    files = open_corpus(str(tmp_path))
    monkeypatch.setattr(recall, "_BATCHES", 4)
    texts = Texts(random.Random(1))
    passed = list(texts.watched(files.batches()))
    assert [b.digest for b in passed] == [b.digest for b in files.batches()]
    assert len(passed) > 20
    drawn = texts.drawn(set())
    assert len({*drawn}) == len(drawn) == len(texts.drawn({"a.jsonl#0"}))
    places = [int(text.split()[1]) for text in drawn]
    assert 4 < len(places) < 60
    assert max(places) - min(places) > 60  # not the beginning alone
    assert len(texts.drawn({f"a.jsonl#{places[0] + 1}"})) == len(drawn) - 1


def test_a_corpus_of_one_part_and_one_of_many_files_give_their_texts(tmp_path):
    one, many = tmp_path / "one.jsonl", tmp_path / "many"
    one.write_text("".join(f'{{"text": "row {n}"}}\n' for n in range(30)) + '{"text": " "}\n')
    many.mkdir()
    for n in range(30):
        (many / f"{n}.txt").write_text(f"file {n} " + "word " * 5000)
    for path, longest in ((one, 10), (many, 10_000)):
        texts = Texts(random.Random(1))
        search(
            texts.watched(open_corpus(str(path)).batches()),
            [person(name="A B")],
            {"exact": ExactIndex()},
        )
        drawn = texts.drawn(set())
        assert len(drawn) == 30
        assert 0 < max(map(len, drawn)) <= longest
